package drp_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"muster/endpoint"
	"muster/profile"
	"muster/profile/drp"
)

// workshop is an endpoint with workflows w1 and w2 of a task each, and a machine
// without one.
func workshop(t *testing.T, compat string) (*rig, *drp.Machine) {
	t.Helper()
	r := serve(t, compat)
	r.post("tasks", map[string]any{"Name": "task1"})
	r.post("stages", map[string]any{"Name": "stage1", "Tasks": []string{"task1"}})
	for _, name := range []string{"w1", "w2"} {
		r.post("workflows", map[string]any{"Name": name, "Stages": []string{"stage1"}})
	}
	r.post("machines", map[string]any{"Name": "n1", "Uuid": machineUUID})
	token, err := r.MachineToken(machineUUID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return r, r.client(t).Machine(machineUUID, drp.Token(token))
}

// runs counts how often a run of w1 begins.
func runs(r *rig) *atomic.Int32 {
	var n atomic.Int32
	last := ""
	r.OnCommit(func(c endpoint.Commit) {
		var m struct{ Workflow string }
		if c.Prefix != "machines" || json.Unmarshal(c.Object, &m) != nil {
			return
		}
		if m.Workflow == "w1" && last != "w1" {
			n.Add(1)
		}
		last = m.Workflow
	})
	return &n
}

// finish runs the workflow of the machine to its end.
func (r *rig) finish() {
	r.t.Helper()
	ask := func(method, path, body string) []byte {
		status, answer := send(r.t, method, r.URL()+"/api/v3/"+path, strings.NewReader(body))
		if status >= 300 {
			r.t.Fatalf("%s %s: status %d: %s", method, path, status, answer)
		}
		return []byte(answer)
	}
	var job struct{ Uuid string }
	if err := json.Unmarshal(ask("POST", "jobs", `{"Machine":"`+machineUUID+`"}`), &job); err != nil {
		r.t.Fatal(err)
	}
	for _, state := range []string{"running", "finished"} {
		ask("PATCH", "jobs/"+job.Uuid, `[{"op":"replace","path":"/State","value":"`+state+`"}]`)
	}
	ask("POST", "jobs", `{"Machine":"`+machineUUID+`"}`) // nothing is left to do
}

func TestAWorkflowIsStartedOnceFromItsBeginningWhateverAnswersAreLost(t *testing.T) {
	for _, compat := range []string{"", "3.13"} {
		for _, fault := range []endpoint.FaultKind{"", endpoint.FaultDropBefore, endpoint.FaultDropAfter} {
			r, m := workshop(t, compat)
			n := runs(r)
			for round := 1; round <= 2; round++ { // the second time the machine has it already
				if fault != "" {
					if _, err := r.Inject(endpoint.Fault{Kind: fault, Method: "PATCH", Path: "/machines/*", Times: 2}); err != nil {
						t.Fatal(err)
					}
				}
				if err := m.Start(t.Context(), "w1"); err != nil {
					t.Fatalf("compat %q, fault %q, round %d: %v", compat, fault, round, err)
				}
				now, err := m.Read(t.Context())
				if err != nil || now.Workflow != "w1" || now.Complete || now.Task != -1 || int(n.Load()) != round {
					t.Errorf("compat %q, fault %q: %+v, %v, begun %d times, want w1 begun %d times", compat, fault, now, err, n.Load(), round)
				}
				if err := m.Start(t.Context(), "w2"); !errors.Is(err, profile.ErrNotNow) {
					t.Errorf("while it runs: %v, want %v", err, profile.ErrNotNow)
				}
				r.finish()
			}
		}
	}
}

func TestAWorkflowIsNotStartedWhereSomebodyElseHasStartedAnother(t *testing.T) {
	r, m := workshop(t, "")
	if err := m.Start(t.Context(), "nosuch"); err == nil {
		t.Error("a workflow that does not exist was started")
	}
	if _, err := r.Inject(endpoint.Fault{Kind: endpoint.FaultDelay, Method: "PATCH", Path: "/machines/*", Principal: "machine:" + machineUUID, Delay: 300 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	started := make(chan error, 1)
	go func() { started <- m.Start(t.Context(), "w1") }()
	for r.Faults()[0].Hits == 0 {
		time.Sleep(time.Millisecond)
	}
	r.do("PATCH", "/api/v3/machines/"+machineUUID, []map[string]any{{"op": "replace", "path": "/Workflow", "value": "w2"}})
	if err := <-started; !errors.Is(err, profile.ErrConflict) {
		t.Errorf("got %v, want %v", err, profile.ErrConflict)
	}
	if now, err := m.Read(t.Context()); err != nil || now.Workflow != "w2" {
		t.Errorf("the machine runs %q (%v), want w2", now.Workflow, err)
	}
}

func TestWhetherAWorkflowWasStartedIsNotGuessed(t *testing.T) {
	r, m := workshop(t, "")
	if _, err := r.Inject(endpoint.Fault{Kind: endpoint.FaultDropAfter, Method: "PATCH", Path: "/machines/*"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := m.Start(ctx, "w1"); err != nil && !errors.Is(err, profile.ErrUnknownOutcome) {
		t.Errorf("got %v, want %v", err, profile.ErrUnknownOutcome)
	}
}

func TestAWorkflowWhoseStartGotNoAnswerMayRunWhateverIsSaidLater(t *testing.T) {
	for name, row := range map[string]struct {
		later   int    // status of the second patch
		machine string // as it is read then; "" is refused
		want    error
	}{
		"a conflict, and the machine runs it":        {http.StatusConflict, `"Workflow":"w1","CurrentTask":-1`, nil},
		"a conflict, and the machine runs a later":   {http.StatusConflict, `"Workflow":"w2","CurrentTask":-1`, profile.ErrUnknownOutcome},
		"a conflict, and the machine cannot be read": {http.StatusConflict, "", profile.ErrUnknownOutcome},
		"the token is refused":                       {http.StatusForbidden, "", profile.ErrUnknownOutcome},
		"what is no machine":                         {http.StatusOK, "", profile.ErrUnknownOutcome},
	} {
		t.Run(name, func(t *testing.T) {
			var patches atomic.Int32
			s := listen(t, true, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				switch {
				case r.Method == http.MethodPatch && patches.Add(1) == 1:
					w.WriteHeader(http.StatusInternalServerError) // whether it was set is not said
				case r.Method == http.MethodPatch:
					w.WriteHeader(row.later)
					_, _ = io.WriteString(w, `{}`)
				case patches.Load() == 0:
					_, _ = io.WriteString(w, `{"Uuid":"`+machineUUID+`","CurrentTask":-1}`)
				case row.machine == "":
					w.WriteHeader(http.StatusForbidden)
				default:
					_, _ = io.WriteString(w, `{"Uuid":"`+machineUUID+`",`+row.machine+`}`)
				}
			})
			err := s.client(t).Machine(machineUUID, drp.Token("token")).Start(t.Context(), "w1")
			if !errors.Is(err, row.want) || (err == nil) != (row.want == nil) {
				t.Errorf("got %v, want %v", err, row.want)
			}
		})
	}
}
