package main

import (
	"encoding/json"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdOffer makes a workflow of one task.
func cmdOffer(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) == 1, "offer WORKFLOW")
	s.admin(ts, "POST", "tasks", map[string]any{"Name": args[0]})
	s.admin(ts, "POST", "stages", map[string]any{"Name": args[0], "Tasks": []string{args[0]}})
	s.admin(ts, "POST", "workflows", map[string]any{"Name": args[0], "Stages": []string{args[0]}})
}

// cmdFinish waits until the machine $KEY runs the workflow, and does what a runner
// would do to complete it.
func cmdFinish(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) == 2, "finish KEY WORKFLOW")
	uuid := ts.Getenv(args[0])
	for deadline := time.Now().Add(patience); ; <-time.After(20 * time.Millisecond) {
		var m struct {
			Workflow    string
			Tasks       []string
			CurrentTask int
		}
		ts.Check(json.Unmarshal(s.admin(ts, "GET", "machines/"+uuid, nil), &m))
		if m.Workflow == args[1] && m.CurrentTask < len(m.Tasks) {
			break
		}
		if time.Now().After(deadline) {
			ts.Fatalf("machine %s does not run workflow %s: %+v", args[0], args[1], m)
		}
	}
	var job struct{ Uuid string }
	ts.Check(json.Unmarshal(s.admin(ts, "POST", "jobs", map[string]any{"Machine": uuid}), &job))
	for _, state := range []string{"running", "finished"} {
		s.admin(ts, "PATCH", "jobs/"+job.Uuid, []map[string]any{{"op": "replace", "path": "/State", "value": state}})
	}
	s.admin(ts, "POST", "jobs", map[string]any{"Machine": uuid}) // nothing is left to do: the workflow is complete
}
