package endpoint_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"gitlab.com/rackn/provision/v4/api"
	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint"
)

// TestMain fails the run if a goroutine outlives the tests.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if left := leaked(); left != "" {
			fmt.Fprintln(os.Stderr, "leaked goroutines:\n"+left)
			code = 1
		}
	}
	os.Exit(code)
}

// leaked returns the stacks of the goroutines that do not end by themselves soon.
func leaked() string {
	var stacks string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if runtime.NumGoroutine() <= 1 {
			return ""
		}
		buf := make([]byte, 1<<20)
		stacks = string(buf[:runtime.Stack(buf, true)])
	}
	return stacks
}

// start runs a server until the test ends.
func start(t *testing.T, compat string) *endpoint.Server {
	t.Helper()
	s, err := endpoint.New(endpoint.Config{Listen: "127.0.0.1:0", Compat: compat})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

// admin is DRP's own client with the powers of the default user.
func admin(t *testing.T, s *endpoint.Server) *api.Client {
	t.Helper()
	c, err := api.UserSessionTokenProxy(s.URL(), endpoint.DefaultUser, endpoint.DefaultPassword, true, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// status is the HTTP status of an error of DRP's client, 0 for none.
func status(err error) int {
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[*models.Error](err); ok {
		return e.Code
	}
	return -1
}

func TestClientCreatesReadsAndDeletes(t *testing.T) {
	c := admin(t, start(t, ""))
	m := &models.Machine{}
	m.Name = "node-1"
	if err := c.CreateModel(m); err != nil {
		t.Fatal(err)
	}
	if len(m.Uuid) == 0 || m.Secret == "" || !m.Runnable || m.Stage != "none" {
		t.Errorf("created machine is %+v", m)
	}
	got, err := c.GetModel("machines", "Name:node-1")
	if err != nil {
		t.Fatal(err)
	}
	if got.Key() != m.Key() {
		t.Errorf("look-up by name found %s, want %s", got.Key(), m.Key())
	}
	if err := c.CreateModel(&models.Machine{MachineBase: models.MachineBase{Name: "node-1"}}); status(err) != 422 {
		t.Errorf("second machine of that name: %v", err)
	}
	if _, err := c.DeleteModel("machines", m.Key()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetModel("machines", m.Key()); status(err) != 404 || !strings.Contains(err.Error(), "Not Found") {
		t.Errorf("deleted machine: %v", err)
	}
}
