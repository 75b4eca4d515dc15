package endpoint_test

import (
	"strings"
	"testing"
)

// Clients learn which field does not fit, in their words and without its value.
func TestMisfitsAreNamed(t *testing.T) {
	c := asAdmin(t, start(t, ""))
	plant(c)
	for _, row := range []struct{ path, body, want string }{
		{"/events", `[]`, "Cannot parse the event: expected an object, found a list"},
		{"/events", `{"Type":5,"Action":"x"}`, "Cannot parse the event: field Type: expected a string, found a number"},
		{"/events", `{"Type":"x","Action":"x","Time":"noon"}`, "Cannot parse the event: field Time: expected a time such as 2006-01-02T15:04:05Z07:00"},
		{"/machines", `{"Name":"n1","HardwareAddrs":"secret"}`, "field HardwareAddrs: expected a list, found a string"},
		{"/machines", `{"Name":"n1","hardwareaddrs":[1]}`, "field hardwareaddrs: expected a string in it, found a number"},
		{"/machines", `{"Name":"n1","Meta":{"zone":7}}`, "field Meta: expected a string in it, found a number"},
		{"/machines", `{"Name":"n1","Uuid":"secret"}`, "field Uuid: expected a UUID"},
		{"/machines", `{"Name":"n1","Uuid":12}`, "field Uuid: expected a UUID, found a number"},
		{"/machines", `{"Name":"n1","Address":"secret"}`, "field Address: expected an IP address"},
		{"/machines", `{"Name":"n1","CurrentJob":"secret"}`, "field CurrentJob: expected a UUID"},
		{"/machines", `{"Name":"n1","CreatedAt":"secret"}`, "field CreatedAt: expected a time such as 2006-01-02T15:04:05Z07:00"},
		{"/machines", `{"Name":"n1","CurrentTask":1.5}`, "field CurrentTask: expected an integer, found a number"},
		{"/machines", `{"Name":"n1","Runnable":"true"}`, "field Runnable: expected true or false, found a string"},
		{"/tasks", `{"Name":"t1","Templates":[{"Contents":5}]}`, "field Templates.Contents: expected a string, found a number"},
		{"/jobs", `{"Machine":"secret"}`, "Cannot parse the job: field Machine: expected a UUID"},
		{"/jobs", `[]`, "Cannot parse the job: expected an object, found a list"},
		{"/profiles", `{"Name":"aa","Params":{"aa":1,"aa":2}}`, "Cannot parse the body: a member comes twice in one object"},
		{"/profiles", `{"Name":"aa","Params":{"` + strings.Repeat("x", 70000) + `":1}}`, "Cannot parse the body: the name of a member has more than 16384 bytes"},
		{"/profiles", `{"Name":"aa","Params":{"\ud800":1}}`, "Cannot parse the body: the name of a member has an escape that is half a character"},
	} {
		got := c.do("POST", row.path, row.body)
		if e := got.fault(t); got.status != 400 || len(e.Messages) != 1 || e.Messages[0] != row.want {
			t.Errorf("POST %s %.60s: got %d %.200s, want %s", row.path, row.body, got.status, got.body, row.want)
		}
	}
	got := c.do("PATCH", "/machines/"+nodeID, `[{"op":"replace","path":"/Address","value":"secret"}]`)
	if want := "Patched object does not fit its type: field Address: expected an IP address"; got.status != 406 || got.fault(t).Messages[0] != want {
		t.Errorf("PATCH: got %d %s", got.status, got.body)
	}
}
