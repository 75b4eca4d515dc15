package main

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"muster/facts"
)

func TestTheTableOfFactsShowsWhatASheetHolds(t *testing.T) {
	sheet := facts.Sheet{
		OS:     facts.OS{Name: "Debian GNU/Linux 12", Kernel: "6.1.0", Architecture: "x86_64"},
		CPU:    facts.CPU{Threads: 8},
		Memory: facts.Memory{TotalBytes: 3 << 29},
	}
	raw, err := json.Marshal(sheet)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"Debian GNU/Linux 12", "6.1.0", "x86_64", "8", "1.5 GiB"}
	if diff := cmp.Diff(want, summary(raw)); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	for _, raw := range []string{`{}`, `[]`, `{"cpu": "many"}`, `null`} {
		if diff := cmp.Diff(make([]string, 5), summary(json.RawMessage(raw))); diff != "" {
			t.Errorf("columns of %s (-want +got):\n%s", raw, diff)
		}
	}
}
