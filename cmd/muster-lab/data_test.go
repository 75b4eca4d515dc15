//go:build linux

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"muster/endpoint"
)

func TestEndpointRefusesADataFileThatItCannotUse(t *testing.T) {
	e := newVictim(t)
	e.start(t)
	file := e.args[5]
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte(`{"Format": 1,`), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		file:   "in use by process ",
		broken: "restore a copy of it, or move it and its .d folder away",
	} {
		p := start(t, "endpoint", "serve", "--listen", "127.0.0.1:0", "--data", path)
		if code := p.exit(t); code != exitFailed || !strings.Contains(p.err.String(), want) || p.out.String() != "" {
			t.Errorf("exit code %d, want 1 and %s:\n%s%s", code, want, &p.out, &p.err)
		}
	}
	if got, err := os.ReadFile(broken); err != nil || string(got) != `{"Format": 1,` {
		t.Errorf("the broken file is now %q, %v", got, err)
	}
}

func TestStoppedEndpointIsTheSameAfterwardsAtAnotherAddress(t *testing.T) {
	e := newVictim(t)
	p := e.start(t)
	e.login(t)
	e.must(t, "POST", "/profiles", `{"Name":"kept"}`)
	e.client.CloseIdleConnections()
	said := p.out.String()
	p.signal(t, syscall.SIGINT)
	if code := p.exit(t); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, &p.err)
	}
	old := e.args[3]
	e.args[3] = newVictim(t).args[3]
	e.url = "https://" + e.args[3]
	p = e.start(t)
	if got, want := p.out.String(), strings.Replace(said, old, e.args[3], 1); got != want {
		t.Errorf("it says\n%swant\n%s", got, want)
	}
	e.must(t, "GET", "/profiles/kept", "") // with the token of before
}

func TestEndpointThatCannotWriteItsCertificateLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	sock, file := filepath.Join(dir, "c"), filepath.Join(dir, "data")
	args := []string{"endpoint", "serve", "--listen", "127.0.0.1:0", "--control", sock, "--data", file, "--ca-file"}
	if _, _, err := call(t.Context(), append(args, filepath.Join(dir, "nosuch", "ca"))...); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Lstat(sock); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the control socket: %v", err)
	}
	server, err := endpoint.New(endpoint.Config{Listen: "127.0.0.1:0", Data: file, Control: sock})
	if err != nil {
		t.Fatalf("after it: %v", err)
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
}
