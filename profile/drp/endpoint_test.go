package drp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"

	"muster/endpoint"
	"muster/internal/leaktest"
	"muster/profile"
	"muster/profile/drp"
)

// TestMain fails the package when a goroutine outlives the tests.
func TestMain(m *testing.M) { os.Exit(leaktest.Run(m)) }

// rig is an embedded endpoint and an administrator of it.
type rig struct {
	*endpoint.Server
	t     *testing.T
	admin *drp.Client
	auth  drp.Auth
}

const (
	user     = "rocketskates"
	password = "r0cketsk8ts"
)

// serve starts an endpoint that ends with the test.
func serve(t *testing.T, compat string) *rig {
	t.Helper()
	s, err := endpoint.New(endpoint.Config{Listen: "127.0.0.1:0", Compat: compat})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	r := &rig{Server: s, t: t, auth: drp.Basic(user, password)}
	r.admin = r.client(t)
	return r
}

// client returns a client of the endpoint that verifies it by its certificate.
func (r *rig) client(t *testing.T) *drp.Client {
	t.Helper()
	return client(t, drp.Config{Endpoint: r.URL(), CA: r.CertPEM()})
}

func client(t *testing.T, cfg drp.Config) *drp.Client {
	t.Helper()
	c, err := drp.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// profile creates a profile with these params.
func (r *rig) profile(name string, params profile.Params) {
	r.t.Helper()
	if err := r.admin.Profile(name, r.auth).Create(r.t.Context(), "made by a test", params); err != nil {
		r.t.Fatalf("create profile %q: %v", name, err)
	}
}

// post creates an object as the administrator.
func (r *rig) post(prefix string, object map[string]any) {
	r.t.Helper()
	r.do("POST", "/api/v3/"+prefix, object)
}

func (r *rig) do(method, path string, body any) {
	r.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		r.t.Fatal(err)
	}
	status, answer := send(r.t, method, r.URL()+path, bytes.NewReader(raw))
	if status >= 300 {
		r.t.Fatalf("%s %s: status %d: %s", method, path, status, answer)
	}
}

// token returns a profile token, as a task on a machine that carries the
// profile gets it.
func (r *rig) token(profileName string) string {
	r.t.Helper()
	r.post("machines", map[string]any{"Name": "bearer", "Uuid": machineUUID, "Profiles": []string{profileName}})
	token, err := r.ProfileToken(machineUUID, profileName, time.Hour)
	if err != nil {
		r.t.Fatal(err)
	}
	return token
}

const machineUUID = "3e7031fc-3062-45f1-835c-92541bc9cbd3"

// icon returns Meta.icon of the machine.
func (r *rig) icon() string {
	r.t.Helper()
	_, body := send(r.t, "GET", r.URL()+"/api/v3/machines/"+machineUUID, nil)
	var m struct{ Meta map[string]string }
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		r.t.Fatal(err)
	}
	return m.Meta["icon"]
}
