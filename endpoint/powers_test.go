package endpoint_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint"
)

// Ways by which somebody could get more powers than were given.

// userWith makes a user with these claims, and returns a caller with its token.
func userWith(t *testing.T, s *endpoint.Server, name string, claims string) caller {
	t.Helper()
	c := asAdmin(t, s)
	c.must("POST", "/roles", `{"Name":"role-`+name+`","Claims":[`+claims+`]}`)
	c.must("POST", "/users", `{"Name":"`+name+`","Roles":["role-`+name+`"]}`)
	token, err := s.UserToken(name, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return as(t, s, token)
}

func TestRunnerCannotChooseThePowersOfItsJob(t *testing.T) {
	const other = "99999999-2222-4333-8444-555555555555"
	s := start(t, "")
	c := asAdmin(t, s)
	plant(c)
	c.must("POST", "/machines", `{"Name":"node-2","Uuid":"`+other+`"}`)
	c.must("POST", "/tasks", `{"Name":"task-1","ExtraClaims":[{"scope":"profiles","action":"get","specific":"c1"}]}`)
	c.must("POST", "/stages", `{"Name":"stage-1","Tasks":["task-1"]}`)
	c.must("POST", "/workflows", `{"Name":"flow","Stages":["stage-1"]}`)
	c.must("PATCH", "/machines/"+nodeID, `[{"op":"replace","path":"/Workflow","value":"flow"}]`)
	machine, _ := tokens(t, s)
	ask := `{"Machine":"` + nodeID + `"}`
	var job models.Job
	if err := json.Unmarshal([]byte(machine.must("POST", "/jobs", ask).body), &job); err != nil {
		t.Fatal(err)
	}
	machine.must("PATCH", "/jobs/"+job.Key(), `[{"op":"replace","path":"/State","value":"running"}]`)
	machine.must("PATCH", "/jobs/"+job.Key(), `[
		{"op":"add","path":"/ExtraClaims","value":[{"scope":"*","action":"*","specific":"*"}]},
		{"op":"replace","path":"/Machine","value":"`+other+`"},
		{"op":"replace","path":"/Task","value":"other"},
		{"op":"replace","path":"/State","value":"incomplete"}]`)
	again := machine.do("POST", "/jobs", ask)
	if again.status != 202 {
		t.Fatalf("the incomplete job: %d %s", again.status, again.body)
	}
	if err := json.Unmarshal([]byte(again.body), &job); err != nil {
		t.Fatal(err)
	}
	if job.Machine.String() != nodeID || job.Task != "task-1" || len(job.ExtraClaims) != 1 {
		t.Errorf("the job is %s", again.body)
	}
	runner := as(t, s, job.Token)
	runner.must("GET", "/profiles/c1", "")
	for _, try := range []struct{ method, path, body string }{
		{"POST", "/users", `{"Name":"evil"}`},
		{"PATCH", "/machines/" + other, `[{"op":"replace","path":"/Description","value":"x"}]`},
	} {
		if got := runner.do(try.method, try.path, try.body); got.status != 403 {
			t.Errorf("%s %s with the job's token: %d %s", try.method, try.path, got.status, got.body)
		}
	}
}

func TestNewJobIsAnsweredAsItIsStored(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	c.must("POST", "/tasks", `{"Name":"task-1"}`)
	c.must("POST", "/stages", `{"Name":"stage-1","Tasks":["task-1"]}`)
	c.must("POST", "/workflows", `{"Name":"flow","Stages":["stage-1"]}`)
	c.must("POST", "/machines", `{"Name":"node-1","Uuid":"`+nodeID+`","Workflow":"flow"}`)
	made := c.must("POST", "/jobs", `{"Machine":"`+nodeID+`"}`)
	var job models.Job
	if err := json.Unmarshal([]byte(made.body), &job); err != nil {
		t.Fatal(err)
	}
	if got := c.must("GET", "/jobs/"+job.Key(), ""); made.status != 201 || got.body != made.body {
		t.Errorf("made %d %s, stored %s", made.status, made.body, got.body)
	}
}

func TestProfileCannotInheritWhatItsWriterMayNotRead(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	plant(c)
	c.must("POST", "/profiles", `{"Name":"vault","Params":{"aa/secret":"hunter2"}}`)
	_, profile := tokens(t, s)
	var c1 map[string]any
	if err := json.Unmarshal([]byte(c.must("GET", "/profiles/c1", "").body), &c1); err != nil {
		t.Fatal(err)
	}
	c1["Profiles"] = []string{"vault"}
	put, err := json.Marshal(c1)
	if err != nil {
		t.Fatal(err)
	}
	for method, body := range map[string]string{"PATCH": `[{"op":"add","path":"/Profiles/-","value":"vault"}]`, "PUT": string(put)} {
		if got := profile.do(method, "/profiles/c1", body); got.status != 422 || !strings.Contains(got.body, "Profile vault (at 0) does not exist") {
			t.Errorf("%s: %d %s", method, got.status, got.body)
		}
	}
	// What somebody put there who may stays changeable.
	c.must("PATCH", "/profiles/c1", `[{"op":"add","path":"/Profiles/-","value":"vault"}]`)
	profile.must("PATCH", "/profiles/c1", `[{"op":"replace","path":"/Description","value":"x"}]`)
}

func TestPacksGiveNoPowers(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	bob := userWith(t, s, "bob", `{"scope":"contents","action":"create,get,update,delete","specific":"*"}`)
	for _, pack := range []string{
		`{"meta":{"Name":"evil"},"sections":{"users":{"bob":{"Name":"bob","Roles":["superuser"]}}}}`,
		`{"meta":{"Name":"evil"},"sections":{"roles":{"role-bob":{"Name":"role-bob","Claims":[{"scope":"*","action":"*","specific":"*"}]}}}}`,
	} {
		if got := bob.do("POST", "/contents?replaceWritable=true", pack); got.status != 403 {
			t.Errorf("%s: %d %s", pack, got.status, got.body)
		}
	}
	lockout := `{"meta":{"Name":"evil"},"sections":{"roles":{"superuser":{"Name":"superuser","Claims":[]}}}}`
	if got := c.do("POST", "/contents?replaceWritable=true", lockout); got.status != 409 {
		t.Errorf("a pack over the role superuser: %d %s", got.status, got.body)
	}
	bob.must("POST", "/contents", `{"meta":{"Name":"good"},"sections":{"profiles":{"pro":{"Name":"pro"}}}}`)
	nina := userWith(t, s, "nina", `{"scope":"profiles","action":"get","specific":"*"}`)
	if got := nina.do("POST", "/contents", strings.Repeat("x", 1000)); got.status != 403 {
		t.Errorf("who may upload nothing is told of the body: %d %s", got.status, got.body)
	}
}

func TestClusterGivesNoPowerOverAProfileThatWasThere(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	c.must("POST", "/profiles", `{"Name":"secrets","Params":{"aa/secret":"hunter2"}}`)
	carl := userWith(t, s, "carl", `{"scope":"clusters","action":"*","specific":"*"}`)
	carl.must("POST", "/clusters", `{"Name":"secrets"}`)
	if got := carl.do("GET", "/clusters/Name:secrets/group/params", ""); got.status != 404 || strings.Contains(got.body, "hunter2") {
		t.Errorf("reading: %d %s", got.status, got.body)
	}
	if got := carl.do("POST", "/clusters/Name:secrets/group/params/aa/secret", `"mine"`); got.status != 403 {
		t.Errorf("writing: %d %s", got.status, got.body)
	}
	carl.must("POST", "/clusters", `{"Name":"mine"}`)
	carl.must("POST", "/clusters/Name:mine/group/params/aa/x", `1`)
}

func TestListsInObjectsAreBounded(t *testing.T) {
	c := asAdmin(t, start(t, ""))
	names := strings.TrimSuffix(strings.Repeat(`"x1",`, 40000), ",")
	for path, body := range map[string]string{
		"/profiles": `{"Name":"pro","Profiles":[` + names + `]}`, "/machines": `{"Name":"node-1","Profiles":[` + names + `]}`,
	} {
		if got := c.do("POST", path, body); got.status != 422 || !strings.Contains(got.body, "at most 1000") || len(got.body) > 1000 {
			t.Errorf("POST %s with 40000 profiles: %d, %d bytes", path, got.status, len(got.body))
		}
	}
	// Prerequisites that double with every task.
	c.must("POST", "/bootenvs", `{"Name":"env"}`)
	c.must("POST", "/stages", `{"Name":"elsewhere","BootEnv":"env"}`)
	c.must("POST", "/tasks", `{"Name":"tt0"}`)
	for i := range 40 {
		c.must("POST", "/tasks", fmt.Sprintf(`{"Name":"tt%d","Prerequisites":["stage:elsewhere","tt%d","stage:elsewhere","tt%d"]}`, i+1, i, i))
	}
	c.must("POST", "/stages", `{"Name":"bomb","Tasks":["tt40"]}`)
	c.must("POST", "/workflows", `{"Name":"bomb","Stages":["bomb"]}`)
	if got := c.do("POST", "/machines", `{"Name":"node-1","Workflow":"bomb"}`); got.status != 422 || len(got.body) > 1000 {
		t.Errorf("a workflow of too many tasks: %d %.300s", got.status, got.body)
	}
}
