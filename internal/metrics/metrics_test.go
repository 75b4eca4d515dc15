package metrics_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"muster/internal/metrics"
)

func TestMetricsAreWrittenAsPrometheusReadsThem(t *testing.T) {
	counters, gauges := &metrics.Set{}, &metrics.Set{}
	counters.Add(metrics.Requests, 1, "PATCH", "4xx")
	counters.Add(metrics.Requests, 2, "PATCH", "4xx")
	counters.Add(metrics.Requests, 1e9, "GET", "2xx")
	gauges.Put(metrics.SlotLed, 1, "a\"b\\c\nd")
	gauges.Put(metrics.LastReadAge, 5)
	gauges.Put(metrics.LastReadAge, 0.25)
	(*metrics.Set)(nil).Add(metrics.Conflicts, 1)
	var text strings.Builder
	if err := metrics.Write(&text, counters, gauges, nil); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(text.String()) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") {
			got = append(got, line)
		}
	}
	want := []string{
		`muster_requests_total{method="GET",status="2xx"} 1e+09`, `muster_requests_total{method="PATCH",status="4xx"} 3`,
		"muster_sent_bytes_total 0", "muster_received_bytes_total 0", "muster_conflicts_total 0", "muster_write_retries_total 0", "muster_token_retries_total 0",
		"muster_last_read_age_seconds 0.25", `muster_slot_led{role="a\"b\\c\nd"} 1`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, line := range []string{"# TYPE muster_requests_total counter\n", "# TYPE muster_round gauge\n", "# HELP muster_round "} {
		if !strings.Contains(text.String(), line) {
			t.Errorf("no line %q", line)
		}
	}
}

func TestFamiliesAreNamedAsPrometheusAsks(t *testing.T) {
	name, base := regexp.MustCompile(`^muster(_[a-z]+)+$`), regexp.MustCompile(`_(ms|millis|minutes|kb|kib)(_|$)`)
	for _, f := range metrics.Families {
		if !name.MatchString(f.Name) || base.MatchString(f.Name) || strings.HasSuffix(f.Name, "_total") != (f.Type == "counter") ||
			f.Type != "counter" && f.Type != "gauge" || !strings.HasSuffix(f.Help, ".") || strings.Contains(f.Help, "\n") {
			t.Errorf("%+v", f)
		}
	}
}

func TestDocsListExactlyTheMetrics(t *testing.T) {
	raw, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(muster_[a-z_]+)(?:\\{([a-z_, ]+)\\})?` \\| (counter|gauge) \\|").FindAllStringSubmatch(string(raw), -1) {
		got = append(got, row[1]+" "+row[2]+" "+row[3])
	}
	for _, f := range metrics.Families {
		want = append(want, f.Name+" "+strings.Join(f.Labels, ", ")+" "+f.Type)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/metrics.md (-want +got):\n%s", diff)
	}
}
