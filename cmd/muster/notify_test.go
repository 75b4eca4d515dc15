package main

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// serviceManager is the socket to which services tell how they are.
type serviceManager struct {
	conn *net.UnixConn
	read sync.WaitGroup

	mu   sync.Mutex
	told string
}

func newServiceManager(t *testing.T, path string) *serviceManager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	m := &serviceManager{conn: conn}
	m.read.Go(func() {
		for buf := make([]byte, 4096); ; {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.told += string(buf[:n]) + "\n\n"
			m.mu.Unlock()
		}
	})
	t.Cleanup(func() { conn.Close(); m.read.Wait() })
	return m
}

// await waits until what was told has a part that matches.
func (m *serviceManager) await(t *testing.T, pattern string) {
	t.Helper()
	want := regexp.MustCompile(pattern)
	for late := time.Now().Add(patience); ; <-time.After(10 * time.Millisecond) {
		m.mu.Lock()
		told := m.told
		m.mu.Unlock()
		if want.MatchString(told) {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("not told within %s: %q; told was:\n%s", patience, pattern, told)
		}
	}
}

func TestTheAgentTellsTheServiceManagerHowItIs(t *testing.T) {
	t.Parallel()
	c := newHosts(t, "", 1)
	h := c.hosts[0]
	m := newServiceManager(t, filepath.Join(c.dir, "notify"))
	step := filepath.Join(h.home, "steps.d", "10-one.yaml")
	c.write(filepath.Join(filepath.Dir(step), "README"), "none yet\n")
	h.environ = []string{"NOTIFY_SOCKET=" + filepath.Join(c.dir, "notify"), "WATCHDOG_USEC=1000000", "MUSTER_STEPS_DIR=" + filepath.Dir(step)}
	h.startAgent()
	m.await(t, `WATCHDOG=1\n\n(?s:.*)READY=1\n`)
	m.await(t, `STATUS=member of alpha, holds leader/1\n`)

	file := filepath.Join(h.home, "muster.yaml")
	config := read(file)
	hangup := func() {
		t.Helper()
		if err := h.started["agent"].Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	c.write(file, config+"log_level: debug\nallow_workflows: other\n")
	c.write(step, "name: one\nrole: leader\ncommand: [true]\n")
	hangup()
	m.await(t, `RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]{3,}\n\n(?s:.*)READY=1\n`)
	c.write(step, "name: one\n")
	hangup()
	m.await(t, `(?s:RELOADING.*){2}READY=1\n`)
	c.write(file, "endpont: typo\n")
	hangup()
	m.await(t, `(?s:RELOADING.*){3}READY=1\n`)
	for _, said := range []string{"read again: log_level=debug", "restart the agent for what else has changed: keys=allow_workflows", "restart the agent for the steps, which have changed", "(?s)would not start again with the steps.*10-one.yaml: ", `was not read again.*unknown key`} {
		if log := read(filepath.Join(h.home, "agent.log")); !regexp.MustCompile(said).MatchString(log) {
			t.Errorf("the log lacks %q:\n%s", said, log)
		}
	}

	cmd := h.started["agent"]
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the agent that was told to stop: %v", err)
	}
	m.await(t, `STOPPING=1\n`)
	if _, err := os.Stat(filepath.Join(h.home, "sock")); err == nil || strings.Contains(m.told, "stuck") {
		t.Errorf("the socket is left (%v), or it was stuck:\n%s", err, m.told)
	}
}
