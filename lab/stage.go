package lab

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gitlab.com/rackn/provision/v4/api"
	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint"
	"muster/internal/boottime"
	"muster/profile"
)

// tokenLife is how long the demo's tokens are good for.
const tokenLife = 24 * time.Hour

// joinScript is the first task of the demo's workflow: like the task that
// installs Muster on a real machine, it ends when the agent has joined, which
// shows by its socket.
const joinScript = `#!/bin/sh
n=0
until [ -S "$MUSTER_SOCKET" ]; do
	n=$((n + 1))
	[ "$n" -lt 600 ] || { echo "the agent has not joined for 60 s"; exit 1; }
	kill -0 "$PPID" || exit 1 # the runner was killed
	sleep 0.1
done
`

// workScript is the second task: it takes a while, and fails if it is told to.
const workScript = `#!/bin/sh
sleep {{ .Param "demo/seconds" }}
exit {{ .Param "demo/exit" }}
`

// prepare fills the endpoint as an administrator would, has `muster seed` plant
// the profile, sets the workflows and writes the members' configurations.
func (d *demo) prepare(ctx context.Context) error {
	ca := filepath.Join(d.dir, "ca.pem")
	if err := os.WriteFile(ca, d.server.CertPEM(), 0o600); err != nil {
		return err
	}
	admin, err := d.session(ca)
	if err != nil {
		return err
	}
	defer admin.Close()
	shared := &models.Profile{Name: demoProfile}
	shared.Fill()
	shared.SetParams(map[string]any{profile.ParamProfile: demoProfile})
	objects := append(clusterParams(), shared,
		task("demo-join", joinScript), task("demo-work", workScript),
		&models.Stage{Name: "demo-join", Tasks: []string{"demo-join"}},
		&models.Stage{Name: "demo-work", Tasks: []string{"demo-work"}},
		&models.Workflow{Name: "demo", Stages: []string{"demo-join", "demo-work"}},
	)
	manager := machine("manager", 1, map[string]any{"cluster/manager": true})
	objects = append(objects, manager)
	seconds := d.workSeconds()
	var members []*models.Machine
	for i, name := range d.names {
		exit := "0"
		if name == d.cfg.Fail {
			exit = "1"
		}
		m := machine(name, i+2, map[string]any{"demo/seconds": seconds[name], "demo/exit": exit})
		members, objects = append(members, m), append(objects, m)
	}
	for _, o := range objects {
		if err := admin.Req().Context(ctx).Post(o).UrlFor(o.Prefix()).Do(&o); err != nil {
			return fmt.Errorf("create %s %s: %w", o.Prefix(), o.Key(), err)
		}
	}
	d.uuids = map[string]string{}
	for _, m := range members {
		d.uuids[m.Name] = m.Key()
	}
	if err := d.seed(ctx, manager.Key(), ca); err != nil {
		return err
	}
	for _, m := range members {
		started := models.Clone(m).(*models.Machine)
		started.Workflow = "demo"
		if err := admin.Req().Context(ctx).PatchTo(m, started).Do(m); err != nil {
			return fmt.Errorf("start the workflow of %s: %w", m.Name, err)
		}
		if err := d.equip(m.Name, ca); err != nil {
			return fmt.Errorf("equip %s: %w", m.Name, err)
		}
	}
	return nil
}

// clusterParams declares the params of DRP's own cluster pattern, as its content
// does (wire contract, section 12): only a declared param can be filtered by.
func clusterParams() []models.Model {
	var params []models.Model
	for name, schema := range map[string]map[string]any{
		"cluster/profile":      {"type": "string"},
		"cluster/filter":       {"type": "string", "default": "Profiles Eq $CLUSTER_PROFILE"},
		"cluster/leader":       {"type": "boolean", "default": false},
		"cluster/manager":      {"type": "boolean", "default": false},
		"cluster/leader-count": {"type": "integer", "minimum": 0, "default": 1},
		"cluster/leaders":      {"type": "array", "default": []any{}, "items": map[string]any{"type": "object"}},
		"cluster/escape":       {"type": "integer", "minimum": 0, "maximum": 4, "default": 1},
	} {
		params = append(params, &models.Param{Name: name, Schema: schema})
	}
	return params
}

func task(name, script string) *models.Task {
	t := &models.Task{Name: name}
	t.Templates = []models.TemplateInfo{{Name: "script", Contents: script}}
	return t
}

func machine(name string, n int, params map[string]any) *models.Machine {
	m := &models.Machine{}
	m.Fill()
	m.Name, m.Address = name, net.IPv4(127, 0, byte(n/250), byte(n%250+1))
	m.Profiles = []string{demoProfile}
	m.SetParams(params)
	return m
}

// session is an administrator's, verified by the endpoint's certificate.
func (d *demo) session(ca string) (*api.Client, error) {
	token, err := d.server.UserToken(endpoint.DefaultUser, tokenLife)
	if err != nil {
		return nil, err
	}
	return api.TokenSessionProxyServer(d.server.URL(), token, false, true, ca)
}

// seed runs `muster seed` as the manager would.
func (d *demo) seed(ctx context.Context, manager, ca string) error {
	token, err := d.server.UserToken(endpoint.DefaultUser, tokenLife)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, d.cfg.Muster, "seed", "--profile", demoProfile, "--leaders", strconv.Itoa(d.cfg.Leaders), "--workflow", "demo")
	cmd.Env = append(CleanEnv(), "RS_ENDPOINT="+d.server.URL(), "RS_TOKEN="+token, "RS_UUID="+manager, "MUSTER_CA_FILE="+ca)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("muster seed: %w: %s", err, strings.TrimSpace(out.String()))
	}
	return nil
}

// equip writes one member's configuration and credentials.
func (d *demo) equip(name, ca string) error {
	profileToken, err := d.server.ProfileToken(d.uuids[name], demoProfile, tokenLife)
	if err != nil {
		return err
	}
	machineToken, err := d.server.MachineToken(d.uuids[name], tokenLife)
	if err != nil {
		return err
	}
	return Home(d.home(name)).Furnish(Place{
		Endpoint: d.server.URL(), CAFile: ca, Profile: demoProfile, UUID: d.uuids[name], ProfileToken: profileToken, MachineToken: machineToken,
	})
}

func (d *demo) home(name string) string   { return filepath.Join(d.dir, name) }
func (d *demo) note(name string) string   { return filepath.Join(d.home(name), "ran") }
func (d *demo) socket(name string) string { return Home(d.home(name)).Socket() }
func (d *demo) runDir(name string) string { return filepath.Join(d.home(name), "run") }

// musterEnv is the environment of one member's processes. Its tasks inherit it.
func (d *demo) musterEnv(name string) []string {
	return Home(d.home(name)).Env()
}

// CleanEnv is this process's environment without what would lead the demo's
// processes to another endpoint, or through a proxy.
func CleanEnv() []string {
	var env []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if upper := strings.ToUpper(name); !strings.HasPrefix(upper, "RS_") && !strings.HasPrefix(upper, "MUSTER_") && !strings.HasSuffix(upper, "_PROXY") {
			env = append(env, v)
		}
	}
	return env
}

// readProfile reads the cluster profile as an administrator.
func (d *demo) readProfile(ctx context.Context) (*profile.Document, error) {
	raw, err := d.tower.latestProfile(ctx)
	if err != nil {
		return nil, err
	}
	return decodeProfile(raw)
}

// WriteNote notes in a file the CLOCK_BOOTTIME of now: the step of the demo.
func WriteNote(file string) error {
	return os.WriteFile(file, []byte(strconv.FormatInt(int64(boottime.Now()), 10)+"\n"), 0o600)
}

func readNote(file string) (time.Duration, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
	return time.Duration(n), err
}
