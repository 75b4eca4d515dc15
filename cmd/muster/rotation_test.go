package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"muster/endpoint"
	"muster/profile"
)

// rotation is a cluster whose tokens change all the time. Every second host
// has a machine token and runs a workflow; the others report.
type rotation struct {
	*hosts
	made  []string    // all tokens
	opens atomic.Bool // the verdict was committed
}

func newRotation(t *testing.T, compat string, n int) *rotation {
	t.Helper()
	r := &rotation{hosts: newHosts(t, compat, n)}
	r.server.OnCommit(func(c endpoint.Commit) {
		var object struct{ Params profile.Params }
		if c.Prefix == "profiles" && json.Unmarshal(c.Object, &object) == nil {
			d := &profile.Document{Params: object.Params}
			if b, planted, err := d.Barrier(profile.BarrierComplete, 1); err == nil && planted && b.Verdict != "" {
				r.opens.Store(true)
			}
		}
	})
	r.post("tasks", map[string]any{"Name": "task1"})
	r.post("stages", map[string]any{"Name": "stage1", "Tasks": []string{"task1"}})
	r.post("workflows", map[string]any{"Name": "workflow1", "Stages": []string{"stage1"}})
	for i, h := range r.hosts.hosts {
		if watched(i) {
			r.patch(h, map[string]any{"op": "add", "path": "/Workflow", "value": "workflow1"}, map[string]any{"op": "add", "path": "/Runnable", "value": true})
		}
	}
	r.rotate(false)
	return r
}

// watched reports whether the host at i has a machine token.
func watched(i int) bool { return i%2 == 1 }

func (r *rotation) patch(h *host, ops ...map[string]any) {
	r.t.Helper()
	r.admin("PATCH", "machines/"+h.uuid, ops)
}

// expire makes every token be refused that there is.
func (r *rotation) expire() {
	r.t.Helper()
	if err := r.server.ExpireTokens(""); err != nil {
		r.t.Fatal(err)
	}
}

// rotate gives every host new tokens; first only the half of each, if so asked.
func (r *rotation) rotate(half bool) {
	r.t.Helper()
	for i, h := range r.hosts.hosts {
		files := map[string]func() (string, error){
			filepath.Join(h.home, "profile.token"): func() (string, error) { return r.server.ProfileToken(h.uuid, "alpha", time.Hour) },
		}
		if watched(i) {
			files[filepath.Join(h.home, "state", "credentials", "machine.token")] = func() (string, error) { return r.server.MachineToken(h.uuid, time.Hour) }
		}
		for file, mint := range files {
			token, err := mint()
			if err != nil {
				r.t.Fatal(err)
			}
			r.made = append(r.made, token)
			if half {
				r.write(file, token[:len(token)/2])
				<-time.After(5 * time.Millisecond) // for somebody to read it
			}
			r.write(file, token)
		}
	}
}

// run starts the agents, a run of the workflow on each host, and a wait on each.
func (r *rotation) run() {
	r.t.Helper()
	for i, h := range r.hosts.hosts {
		h.startAgent()
		if !watched(i) {
			r.insist(h, "report", "running")
		}
		h.begin("wait", "wait", "complete")
	}
	for _, h := range r.hosts.hosts {
		for late := time.Now().Add(patience); !strings.Contains(read(filepath.Join(h.home, "wait.log")), "round 1"); <-time.After(10 * time.Millisecond) {
			if time.Now().After(late) {
				r.t.Fatalf("the wait of %s does not begin:\n%s", filepath.Base(h.home), r.said())
			}
		}
	}
}

// insist runs a command until it succeeds: the token may be refused meanwhile.
func (r *rotation) insist(h *host, args ...string) {
	r.t.Helper()
	for late := time.Now().Add(patience); ; <-time.After(100 * time.Millisecond) {
		said, err := h.command(args...).CombinedOutput()
		r.harmless(strings.Join(args, " "), said)
		if err == nil {
			return
		}
		if time.Now().After(late) {
			r.t.Fatalf("%s: %v: %s\n%s", strings.Join(args, " "), err, said, r.logs())
		}
	}
}

// complete ends the run of the host at i.
func (r *rotation) complete(i int) {
	r.t.Helper()
	h := r.hosts.hosts[i]
	if !watched(i) {
		r.insist(h, "report", "complete")
		return
	}
	var job struct{ Uuid string }
	if err := json.Unmarshal(r.admin("POST", "jobs", map[string]any{"Machine": h.uuid}), &job); err != nil {
		r.t.Fatal(err)
	}
	for _, state := range []string{"running", "finished"} {
		r.admin("PATCH", "jobs/"+job.Uuid, []map[string]any{{"op": "replace", "path": "/State", "value": state}})
	}
	r.admin("POST", "jobs", map[string]any{"Machine": h.uuid}) // nothing is left to do: the workflow is complete
}

// shut wants every wait to go on, and nothing to show a token.
func (r *rotation) shut() {
	r.t.Helper()
	if r.opens.Load() {
		r.t.Fatal("a verdict is recorded though a run goes on")
	}
	for _, h := range r.hosts.hosts {
		for name, cmd := range h.started {
			proc := filepath.Join("/proc", fmt.Sprint(cmd.Process.Pid))
			line, err := os.ReadFile(filepath.Join(proc, "cmdline"))
			if err != nil || !strings.Contains(string(line), name) { // a process that has ended has none
				r.t.Fatalf("%s of %s does not run any more: %q, %v\n%s", name, filepath.Base(h.home), line, err, r.said())
			}
			environ, err := os.ReadFile(filepath.Join(proc, "environ"))
			if err != nil || !strings.Contains(string(environ), "MUSTER_CONFIG") {
				r.t.Fatalf("environment of %s: %q, %v", name, environ, err)
			}
			r.harmless("the command line of "+name, line)
			r.harmless("the environment of "+name, environ)
		}
	}
	r.harmless("a log", []byte(r.said()))
}

// opened waits until every wait has ended with success.
func (r *rotation) opened() {
	r.t.Helper()
	for _, h := range r.hosts.hosts {
		ended := make(chan error, 1)
		go func(cmd *exec.Cmd) { ended <- cmd.Wait() }(h.started["wait"])
		select {
		case err := <-ended:
			if err != nil {
				r.t.Errorf("wait of %s: %v\n%s", filepath.Base(h.home), err, r.said())
			}
		case <-time.After(patience):
			r.t.Fatalf("wait of %s does not end\n%s", filepath.Base(h.home), r.said())
		}
	}
	d, err := r.store.Read(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	shared, err := json.Marshal(d.Params)
	if err != nil {
		r.t.Fatal(err)
	}
	r.harmless("the profile", shared)
	r.harmless("a log", []byte(r.said()))
}

// said is what all processes wrote.
func (r *rotation) said() string {
	all := r.logs()
	for _, h := range r.hosts.hosts {
		all += filepath.Base(h.home) + "/wait.log:\n" + read(filepath.Join(h.home, "wait.log"))
	}
	return all
}

func read(file string) string {
	raw, _ := os.ReadFile(file) // none is as if it were empty
	return string(raw)
}

// harmless wants no part of a token in text.
func (r *rotation) harmless(what string, text []byte) {
	r.t.Helper()
	if i := slices.IndexFunc(r.made, func(token string) bool {
		return strings.Contains(string(text), token[:24]) || strings.Contains(string(text), token[len(token)-24:])
	}); i >= 0 {
		r.t.Errorf("%s shows token %d of %d", what, i, len(r.made))
	}
}

func TestTokensThatRotateOpenNoGateAndShowUpNowhere(t *testing.T) {
	for _, compat := range []string{"", "3.13"} {
		t.Run("compat "+compat, func(t *testing.T) {
			t.Parallel()
			r := newRotation(t, compat, proof(4, 20))
			r.run()
			last := len(r.hosts.hosts) - 1
			for i := range last {
				r.complete(i)
			}
			every := 5 * time.Second
			for turn := range proof(3, 12) {
				<-time.After(every)
				r.shut()
				r.expire()
				r.rotate(turn%2 == 0)
			}
			r.shut()
			r.complete(last)
			r.opened()
		})
	}
}

func TestAWaitOutlivesATokenThatExpiresAndIsReplacedTenSecondsLater(t *testing.T) {
	for _, compat := range []string{"", "3.13"} {
		t.Run("compat "+compat, func(t *testing.T) {
			t.Parallel()
			r := newRotation(t, compat, 2)
			r.run()
			r.expire()
			<-time.After(10 * time.Second)
			r.shut()
			r.complete(1)
			r.shut()
			r.rotate(false)
			r.complete(0)
			r.opened()
			for _, h := range r.hosts.hosts {
				if said := read(filepath.Join(h.home, "agent.log")); !strings.Contains(said, "token refused") {
					t.Errorf("the agent of %s met no refusal:\n%s", filepath.Base(h.home), said)
				}
			}
		})
	}
}
