package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gitlab.com/rackn/provision/v4/agent"
	"gitlab.com/rackn/provision/v4/api"
	"gitlab.com/rackn/provision/v4/models"

	"muster/internal/backoff"
)

// maxSocketPath is how long the path of a unix socket may be, everywhere.
const maxSocketPath = 103

// kexecLoaded tells on Linux whether a kernel is loaded for kexec.
const kexecLoaded = "/sys/kernel/kexec_loaded"

// contactWait is how long a runner tries to reach its endpoint at the start.
const contactWait = 30 * time.Second

// defaultStopWait is long enough for a runner to report the task that it ends.
const defaultStopWait = 5 * time.Second

// RunnerConfig says for which machine a runner works, and where.
type RunnerConfig struct {
	// Endpoint is the URL of the DRP endpoint, such as https://127.0.0.1:8092.
	Endpoint string
	// Machine is the UUID of the machine whose tasks to run.
	Machine string
	// Token is a token of that machine.
	Token string
	// CAFile holds certificates, in PEM, that may vouch for the endpoint beside
	// those of the system. Empty means those of the system only; there is no way
	// to skip the check.
	CAFile string
	// Dir is where tasks run and where the runner's socket lies. It is made if
	// it is missing and not removed. No two runners may share one, and its path
	// must be short enough for a unix socket in it.
	Dir string
	// Context is the context whose jobs to run. The default is none, which is that
	// of an agent on the machine itself.
	Context string
	// Log receives what the runner and its tasks print. It must be safe for
	// concurrent use, as os.Stderr is.
	Log io.Writer
	// StopWait is how long to wait, once ctx ends, for the runner to end the
	// task that it runs and to report that. The default is 5 s.
	StopWait time.Duration
}

// RunRunner is the body of a runner process: it runs the tasks of one machine
// with DRP's own agent, power actions off, until ctx ends.
//
// It needs a process of its own. DRP's agent takes over the process: it sets
// environment variables, which tasks inherit, and resets the handling of
// SIGINT. RunRunner adds SSL_CERT_FILE and RS_RUNNER_DIR to the environment:
// the client of the agent verifies its websocket by the roots of the process
// only, and so do tools written in Go that a task starts. End the process by
// SIGTERM.
//
// When ctx ends, a script that runs is killed and its job becomes incomplete. If
// the process leads a process group (start it so), what scripts have started is
// terminated as well; otherwise a program that the script leaves behind can hold
// up the report until StopWait is over, and the runner that comes next fails the
// job.
//
// Power actions are off but for one that DRP's agent always takes: if a kernel is
// loaded for kexec, it boots that instead of rebooting. So RunRunner refuses to
// work on such a host; do not load one while a runner runs, and do not set the
// param kexec-ok, which makes the agent load one.
//
// It returns nil when ctx ends, and also when a task tells the runner to stop,
// to power off or to reboot, or when the machine's boot environment changes:
// where a machine would do that and start a runner again, the caller may do so.
// A machine on which a task failed or stayed incomplete is not runnable; the
// runner waits until somebody makes it runnable.
func RunRunner(ctx context.Context, cfg RunnerConfig) error {
	if err := cfg.prepare(); err != nil {
		return fmt.Errorf("runner: %w", err)
	}
	client, err := api.TokenSessionProxyServer(cfg.Endpoint, cfg.Token, true, true, cfg.CAFile)
	if err != nil {
		return fmt.Errorf("runner: open session: %w", err)
	}
	defer client.Close()
	m, err := firstContact(ctx, client, cfg.Machine)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("runner: read machine %s: %w", cfg.Machine, err)
	}
	a, err := agent.New(client, m, false, false, false, cfg.Log)
	if err != nil {
		return fmt.Errorf("runner: %w", err)
	}
	a = a.Context(cfg.Context)
	ended := make(chan error, 1)
	go func() { ended <- a.Run() }()
	select {
	case err := <-ended:
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("runner: %w", err)
		}
		return nil
	case <-ctx.Done():
	}
	idle := make(chan struct{})
	go func() {
		began := stop(a)
		endGroup() // not before: a script that is not killed but fails fails its job
		if !began {
			close(idle)
		}
	}()
	select {
	case <-ended:
	case <-idle:
	case <-time.After(cfg.StopWait):
	}
	return nil
}

// firstContact reads the machine. It is patient with an endpoint that does not
// answer yet: where many runners start at once, the client's second for a TLS
// handshake is short.
func firstContact(ctx context.Context, client *api.Client, uuid string) (*models.Machine, error) {
	ctx, cancel := context.WithTimeout(ctx, contactWait)
	defer cancel()
	for pause := backoff.New(time.Second, 5*time.Second, rand.Float64); ; {
		m := &models.Machine{}
		err := client.Req().Context(ctx).UrlFor("machines", uuid).Do(m)
		if e, ok := errors.AsType[*models.Error](err); !ok || e.Code != 0 {
			return m, err
		}
		if backoff.Sleep(ctx, pause.Next()) != nil {
			return nil, err
		}
	}
}

// prepare checks the configuration, fills its defaults and sets up what the
// agent expects to find in its process.
func (c *RunnerConfig) prepare() error {
	if c.Endpoint == "" || c.Machine == "" || c.Token == "" || c.Dir == "" || c.Log == nil {
		return errors.New("endpoint, machine, token, directory and log are all needed")
	}
	if loaded, _ := os.ReadFile(kexecLoaded); strings.HasPrefix(string(loaded), "1") {
		return errors.New("this host has a kernel loaded for kexec, which a task could make it boot")
	}
	if c.StopWait == 0 {
		c.StopWait = defaultStopWait
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return err
	}
	c.Dir = dir
	if c.CAFile != "" {
		if c.CAFile, err = filepath.Abs(c.CAFile); err != nil {
			return err
		}
	}
	socket := runnerSocket(dir)
	if len(socket) > maxSocketPath {
		return fmt.Errorf("directory %s: its path is too long for a socket", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	// A runner that was killed leaves its socket, on which none can listen again.
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	env := map[string]string{"RS_RUNNER_DIR": dir, "SSL_CERT_FILE": c.CAFile}
	for name, value := range env {
		if value == "" {
			continue
		}
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	// The socket of a runner that started this process is not ours to use.
	return os.Unsetenv("RS_LOCAL_PROXY")
}

// runnerSocket is the socket of a runner that works in dir; DRP's agent names it.
func runnerSocket(dir string) string { return filepath.Join(dir, ".sock") }

// stop tells the agent to end, and reports whether it had begun. The agent panics
// if it has not yet opened its event stream; it never runs anything then, since it
// keeps the lock that this takes.
func stop(a *agent.Agent) (began bool) {
	defer func() { began = recover() == nil }()
	_ = a.Kill()
	return true
}
