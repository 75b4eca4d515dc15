package endpoint_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// members lists the fields of a JSON object.
func members(t *testing.T, body string) []string {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatal(err)
	}
	var res []string
	for name := range m {
		res = append(res, name)
	}
	slices.Sort(res)
	return res
}

func TestMachineShape(t *testing.T) {
	newer := strings.Fields(`CreatedAt CreatedBy JobExitState JobResultErrors JobState LastModifiedAt LastModifiedBy
		PendingWorkOrders Pool PoolAllocated PoolStatus RunningWorkOrders WorkOrderMode WorkflowComplete`)
	always := strings.Fields(`Address Arch Available BootEnv Bundle Context CurrentJob CurrentTask Description Endpoint Errors
		Fingerprint HardwareAddrs Locked Meta Name OS Params Partial Profiles ReadOnly RetryTaskAttempt Runnable Secret Stage
		TaskErrorStacks Tasks Uuid Validated Workflow`)
	for compat, want := range map[string][]string{"": append(always, newer...), "3.13": always} {
		c := asAdmin(t, start(t, compat))
		plant(c)
		slices.Sort(want)
		bodies := map[string]string{
			"GET":   c.must("GET", "/machines/"+nodeID, "").body,
			"PATCH": c.must("PATCH", "/machines/"+nodeID, `[{"op":"add","path":"/Description","value":"x"}]`).body,
			"list":  strings.TrimSuffix(strings.TrimPrefix(c.must("GET", "/machines", "").body, "["), "]"),
		}
		for name, body := range bodies {
			if got := members(t, body); !slices.Equal(got, want) {
				t.Errorf("compat %q: %s has %v, want %v", compat, name, got, want)
			}
		}
	}
}

func TestCompat313(t *testing.T) {
	s := start(t, "3.13")
	c := asAdmin(t, s)
	plant(c)
	for _, path := range []string{"/profiles/c1", "/machines/" + nodeID} {
		got := c.do("GET", path, "", "If-None-Match", `"x"`, "Prefer", "wait=600")
		if got.status != 200 || got.header.Get("ETag") != "" {
			t.Errorf("GET %s: %d with ETag %q", path, got.status, got.header.Get("ETag"))
		}
	}
	for path, want := range map[string]int{
		"/machines/" + nodeID + "/token?ttl=60": 404,
		"/machines?WorkflowComplete=true":       406,
		"/machines?Pool=x":                      406,
		"/machines?aggregate=true":              406,
		"/machines?token=x":                     406,
		"/machines?Runnable=true":               200,
		"/info":                                 200,
	} {
		if got := c.do("GET", path, ""); got.status != want {
			t.Errorf("GET %s: %d %s, want %d", path, got.status, got.body, want)
		}
	}
	if got := c.must("GET", "/info", "").body; !strings.Contains(got, `"version":"v3.13`) {
		t.Errorf("info is %s", got)
	}
	machine, profile := tokens(t, s)
	if got := machine.do("GET", "/machines/"+nodeID+"/token?ttl=60", ""); got.status != 404 {
		t.Errorf("machine token route: %d", got.status)
	}
	for _, who := range []caller{machine, profile} {
		if got := who.do("GET", "/machines?Runnable=true", ""); got.status != 200 || got.body != "[]" || got.header.Get("X-DRP-LIST-COUNT") != "0" {
			t.Errorf("forbidden list: %d %s", got.status, got.body)
		}
	}
	if got := machine.do("GET", "/profiles/c1", ""); got.status != 404 {
		t.Errorf("forbidden object: %d", got.status)
	}
}

// Fields that 3.13 does not show must survive its clients' writes.
func TestCompat313KeepsWhatItHides(t *testing.T) {
	c := asAdmin(t, start(t, "3.13"))
	plant(c)
	full := c.must("GET", "/machines/"+nodeID, "").body
	c.must("PUT", "/machines/"+nodeID, full)
	c.must("PATCH", "/machines/"+nodeID, `[{"op":"test","path":"","value":`+full+`},{"op":"add","path":"/Description","value":"x"}]`)
	if got := c.do("PATCH", "/machines/"+nodeID, `[{"op":"test","path":"/WorkflowComplete","value":true}]`); got.status != 409 {
		t.Errorf("a hidden field can be tested: %d %s", got.status, got.body)
	}
}

func TestCompat313FiltersByInheritedParams(t *testing.T) {
	c := asAdmin(t, start(t, "3.13"))
	plantMany(c)
	for query, want := range map[string]string{
		"cluster%2Fleader=false&sort=Name": "n2 n3 n4",
		"size=30":                          "n4",
		"size=5":                           "",
	} {
		if got := names(c, query); got != want {
			t.Errorf("%s finds %q, want %q", query, got, want)
		}
	}
}
