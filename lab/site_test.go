//go:build unix

package lab_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gitlab.com/rackn/provision/v4/api"
	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint"
	"muster/lab"
)

// The test binary is also the runner process: with this variable set it does
// nothing else.
const asRunner = "MUSTER_TEST_RUNNER"

// built is where the programs lie once a test has asked for them.
var built string

func TestMain(m *testing.M) {
	if os.Getenv(asRunner) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		wait, _ := time.ParseDuration(os.Getenv("TEST_STOP_WAIT"))
		err := lab.RunRunner(ctx, lab.RunnerConfig{
			Endpoint: os.Getenv("TEST_ENDPOINT"),
			Machine:  os.Getenv("TEST_MACHINE"),
			Token:    os.Getenv("TEST_TOKEN"),
			CAFile:   os.Getenv("TEST_CA"),
			Context:  os.Getenv("TEST_CONTEXT"),
			Dir:      os.Getenv("TEST_DIR"),
			Log:      os.Stdout,
			StopWait: wait,
		})
		if err != nil {
			fmt.Println("runner ended:", err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if err := os.RemoveAll(built); err != nil {
		fmt.Println(err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// site is an endpoint with an administrator's session.
type site struct {
	t      *testing.T
	server *endpoint.Server
	admin  *api.Client
	ca     string
}

func newSite(t *testing.T, compat string) *site {
	t.Helper()
	server, err := endpoint.New(endpoint.Config{Listen: "127.0.0.1:0", Compat: compat})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	st := &site{t: t, server: server, ca: filepath.Join(t.TempDir(), "ca.pem")}
	if err := os.WriteFile(st.ca, server.CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	st.login()
	return st
}

// login gives the administrator a session with connections of its own.
func (st *site) login() {
	st.t.Helper()
	token, err := st.server.UserToken(endpoint.DefaultUser, time.Hour)
	if err != nil {
		st.t.Fatal(err)
	}
	st.admin = st.session(token)
}

func (st *site) session(token string) *api.Client {
	st.t.Helper()
	c, err := api.TokenSessionProxyServer(st.server.URL(), token, false, true, st.ca)
	if err != nil {
		st.t.Fatal(err)
	}
	st.t.Cleanup(c.Close)
	return c
}

func (st *site) create(objects ...models.Model) {
	st.t.Helper()
	for _, o := range objects {
		if err := st.admin.Req().Context(st.t.Context()).Post(o).UrlFor(o.Prefix()).Do(&o); err != nil {
			st.t.Fatalf("create %s %s: %v", o.Prefix(), o.Key(), err)
		}
	}
}

// workflow creates a workflow "w" with stages s1, s2 ...; each argument is the
// scripts of one stage's tasks, which are named s1-1, s1-2 ...
func (st *site) workflow(stages ...[]string) {
	st.t.Helper()
	w := &models.Workflow{Name: "work"}
	for i, scripts := range stages {
		stage := &models.Stage{Name: fmt.Sprintf("s%d", i+1)}
		for j, script := range scripts {
			task := &models.Task{Name: fmt.Sprintf("%s-%d", stage.Name, j+1)}
			task.Templates = []models.TemplateInfo{{Name: "script", Contents: "#!/bin/sh\n" + script}}
			st.create(task)
			stage.Tasks = append(stage.Tasks, task.Name)
		}
		st.create(stage)
		w.Stages = append(w.Stages, stage.Name)
	}
	st.create(w)
}

func (st *site) machine(name string, profiles ...string) *models.Machine {
	st.t.Helper()
	m := &models.Machine{}
	m.Name, m.Workflow, m.Profiles = name, "work", profiles
	st.create(m)
	return m
}

// patch changes fields of a machine as an administrator.
func (st *site) patch(m *models.Machine, change func(*models.Machine)) {
	st.t.Helper()
	st.read(m)
	to := models.Clone(m).(*models.Machine)
	change(to)
	if err := st.admin.Req().Context(st.t.Context()).PatchTo(m, to).Do(m); err != nil {
		st.t.Fatal(err)
	}
}

func (st *site) read(m *models.Machine) {
	st.t.Helper()
	if err := st.admin.Req().Context(st.t.Context()).UrlFor("machines", m.Key()).Do(m); err != nil {
		st.t.Fatal(err)
	}
}

// until asks again and again until the answer is yes.
func (st *site) until(what func() string, ok func() bool) {
	st.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(90 * time.Second); !ok(); {
		select {
		case <-tick.C:
		case <-limit:
			st.t.Fatal("gave up waiting: " + what())
		}
	}
}

// await reads the machine until it is as wanted.
func (st *site) await(m *models.Machine, want func(*models.Machine) bool) {
	st.t.Helper()
	st.until(func() string {
		return fmt.Sprintf("%s: Tasks %v, CurrentTask %d, Runnable %v, WorkflowComplete %v, JobState %q",
			m.Name, m.Tasks, m.CurrentTask, m.Runnable, m.WorkflowComplete, m.JobState)
	}, func() bool {
		st.read(m)
		return want(m)
	})
}

// awaitLog waits for a line in the log of a task: runners send logs late.
func (st *site) awaitLog(m *models.Machine, task, line string) {
	st.t.Helper()
	var logs map[string]string
	st.until(func() string {
		return fmt.Sprintf("log of %s lacks %q:\n%s", task, line, logs[task])
	}, func() bool {
		_, logs = st.jobs(m)
		return strings.Contains(logs[task], line)
	})
}

func complete(m *models.Machine) bool { return m.WorkflowComplete }

func failed(m *models.Machine) bool { return !m.Runnable && m.JobState == models.JOB_FAILED }

// jobs returns the machine's jobs (the latest of each task), and their logs.
func (st *site) jobs(m *models.Machine) (map[string]*models.Job, map[string]string) {
	st.t.Helper()
	list := []*models.Job{}
	if err := st.admin.Req().Context(st.t.Context()).UrlFor("jobs").Do(&list); err != nil {
		st.t.Fatal(err)
	}
	jobs, logs := map[string]*models.Job{}, map[string]string{}
	for _, j := range list {
		if !bytes.Equal(j.Machine, m.Uuid) {
			continue
		}
		var log bytes.Buffer
		if err := st.admin.Req().Context(st.t.Context()).UrlFor("jobs", j.Key(), "log").Do(&log); err != nil {
			st.t.Fatal(err)
		}
		if last := jobs[j.Task]; last == nil || last.StartTime.Before(j.StartTime) {
			jobs[j.Task] = j
		}
		logs[j.Task] += log.String()
	}
	return jobs, logs
}

// process is a runner process.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	dir  string
	out  *output
	once sync.Once
	err  error
}

// start starts the runner process of a machine, with more in its environment.
func (st *site) start(m *models.Machine, env ...string) *process {
	st.t.Helper()
	token, err := st.server.MachineToken(m.Key(), time.Hour)
	if err != nil {
		st.t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "run") // short enough for a socket
	if err != nil {
		st.t.Fatal(err)
	}
	p := &process{t: st.t, cmd: exec.Command(os.Args[0]), dir: dir, out: &output{}}
	p.cmd.Env = append(os.Environ(), asRunner+"=1", "TEST_ENDPOINT="+st.server.URL(), "TEST_MACHINE="+m.Key(),
		"TEST_TOKEN="+token, "TEST_CA="+st.ca, "TEST_DIR="+dir)
	p.cmd.Env = append(p.cmd.Env, env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.WaitDelay = 5 * time.Second
	if err := p.cmd.Start(); err != nil {
		st.t.Fatal(err)
	}
	st.t.Cleanup(p.kill)
	return p
}

// kill ends the process, what its tasks left behind, and its directory.
func (p *process) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	_ = p.wait()
	if err := os.RemoveAll(p.dir); err != nil {
		p.t.Error(err)
	}
}

// wait returns when the process has ended by itself, but not for ever.
func (p *process) wait() error {
	p.once.Do(func() {
		force := time.AfterFunc(90*time.Second, func() { _ = p.cmd.Process.Kill() })
		defer force.Stop()
		p.err = p.cmd.Wait()
	})
	return p.err
}

// runner starts the runner process of a machine; the end of the test asks it to
// end, which must go well.
func (st *site) runner(m *models.Machine, env ...string) {
	st.t.Helper()
	p := st.start(m, env...)
	st.t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		if err := p.wait(); err != nil {
			st.t.Errorf("runner of %s did not end cleanly: %v", m.Name, err)
		}
		if st.t.Failed() {
			st.t.Logf("runner of %s:\n%s", m.Name, p.out)
		}
	})
}

// output collects what a process prints.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
