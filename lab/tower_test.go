package lab

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/endpoint"
)

// commitOf is a commit of a profile's params, at a time.
func commitOf(name, params string, at time.Duration) endpoint.Commit {
	return endpoint.Commit{Prefix: "profiles", Object: json.RawMessage(fmt.Sprintf(`{"Name":%q,"Params":{%s}}`, name, params)), Boottime: at}
}

// slots are those of a seeded profile.
const slots = `"muster/slots":{"leader":{"1":{"holder":"u2"},"2":{"holder":""}}},`

// results are seeded params, with these results of u1 and u2 in round 1.
func results(one, two string) string {
	record := func(result string) string {
		if result == "" {
			return `{"instance":"i","seq":1}`
		}
		return fmt.Sprintf(`{"instance":"i","seq":1,"results":{"1":%q}}`, result)
	}
	return slots + `"muster/members":{"u1":` + record(one) + `,"u2":` + record(two) + `}`
}

func TestLastCompletionIsTheCommitThatMadeAllComplete(t *testing.T) {
	tower := newTower(map[string]string{"one": "u1", "two": "u2"}, nil)
	for _, step := range []struct {
		commit endpoint.Commit
		last   time.Duration
		all    bool
	}{
		{commitOf("demo", slots+`"muster/members":{"u1":{"instance":"i","seq":1}}`, 1), 0, false},
		{commitOf("demo", results("failed", ""), 2), 0, false},
		{commitOf("other", results("complete", "complete"), 3), 0, false},
		{endpoint.Commit{Prefix: "profiles", Object: json.RawMessage(`{`), Boottime: 4}, 0, false},
		{commitOf("demo", results("", "complete"), 5), 5, false},
		{commitOf("demo", results("complete", "complete"), 6), 6, true},
		{commitOf("demo", results("complete", "complete"), 7), 6, true},
	} {
		tower.take(step.commit)
		if last, all := tower.lastCompletion(); last != step.last || all != step.all {
			t.Errorf("after the commit at %d: got %d, %v; want %d, %v", step.commit.Boottime, last, all, step.last, step.all)
		}
	}
}

func TestTowerTellsOfChangesThatShowAndOfNoOthers(t *testing.T) {
	tower := newTower(map[string]string{"two": "u2", "one": "u1"}, nil)
	const machine = `{"Uuid":"82e6fa3e-6a49-4d5a-9a4a-d5a8a7d1b5f0"`
	tower.members["82e6fa3e-6a49-4d5a-9a4a-d5a8a7d1b5f0"] = &Member{Name: "three"}
	full := results("complete", "failed") + `,"muster/barriers":{"complete":{"1":{"verdict":"failed"}}}`
	for _, step := range []struct {
		what   string
		commit endpoint.Commit
		shows  bool
	}{
		{"nobody has joined", commitOf("demo", `"muster/slots":{},"muster/members":{"u1":{"instance":"","seq":0}}`, 1), false},
		{"all is there", commitOf("demo", full, 2), true},
		{"the same again", commitOf("demo", full, 3), false},
		{"a machine of ours goes on", endpoint.Commit{Prefix: "machines", Object: json.RawMessage(machine + `,"Tasks":["a","b"],"CurrentTask":1}`)}, true},
		{"its other fields", endpoint.Commit{Prefix: "machines", Object: json.RawMessage(machine + `,"Tasks":["a","b"],"CurrentTask":1,"Runnable":true}`)}, false},
		{"the task before the first", endpoint.Commit{Prefix: "machines", Object: json.RawMessage(machine + `,"Tasks":["a","b"],"CurrentTask":-1}`)}, true},
		{"another machine", endpoint.Commit{Prefix: "machines", Object: json.RawMessage(`{"Uuid":"00000000-0000-4000-8000-000000000009","Tasks":["a"]}`)}, false},
	} {
		if _, shows := tower.take(step.commit); shows != step.shows {
			t.Errorf("%s: told is %v, want %v", step.what, shows, step.shows)
		}
	}
	cluster, _ := tower.take(commitOf("demo", full, 9))
	want := Cluster{Verdict: "failed", Members: []Member{
		{Name: "one", Joined: true, Result: "complete"},
		{Name: "three", Tasks: 2},
		{Name: "two", Joined: true, Slot: "leader/1", Result: "failed"},
	}}
	if diff := cmp.Diff(want, cluster); diff != "" {
		t.Errorf("the cluster differs (-want +got):\n%s", diff)
	}
}

func TestQuantilesAreNearestRanks(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(100-i) * time.Millisecond
	}
	for _, c := range []struct {
		times []time.Duration
		want  Quantiles
	}{
		{nil, Quantiles{}},
		{[]time.Duration{1500 * time.Microsecond}, Quantiles{1.5, 1.5, 1.5}},
		{[]time.Duration{4 * time.Millisecond, time.Millisecond}, Quantiles{1, 4, 4}},
		{hundred, Quantiles{50, 99, 100}},
	} {
		if diff := cmp.Diff(c.want, quantiles(c.times)); diff != "" {
			t.Errorf("of %d times (-want +got):\n%s", len(c.times), diff)
		}
	}
}

func TestDemoProcessesDoNotInheritWhereElseToGo(t *testing.T) {
	for _, name := range []string{"RS_ENDPOINT", "RS_KEY", "MUSTER_CONFIG", "HTTPS_PROXY", "http_proxy", "no_proxy"} {
		t.Setenv(name, "elsewhere")
	}
	t.Setenv("DEMO_KEPT", "kept")
	kept := false
	for _, v := range CleanEnv() {
		if strings.HasSuffix(v, "=elsewhere") {
			t.Errorf("%s is inherited", v)
		}
		kept = kept || v == "DEMO_KEPT=kept"
	}
	if !kept {
		t.Error("what does no harm is not inherited")
	}
}
