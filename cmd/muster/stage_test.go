package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"

	"muster/endpoint"
	"muster/profile"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata/golden")

type stageKey struct{}

// stage is what the commands of one script share.
type stage struct {
	server   *endpoint.Server
	work     string
	golden   string // directory of the expected JSON
	machines int
	started  map[string]*process
	helpers  chan *process  // of root steps, as they are started
	kept     profile.Params // what was remembered
	lost     []byte         // the profile that was deleted
	spoiled  []byte         // what a param was before it was spoiled

	mu      sync.Mutex
	secrets []string // every token that was made
}

func newStage(env *testscript.Env, compat string) (*stage, error) {
	golden, err := filepath.Abs("testdata/golden")
	if err != nil {
		return nil, err
	}
	server, err := endpoint.New(endpoint.Config{Listen: "127.0.0.1:0", Compat: compat})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx) }()
	s := &stage{server: server, work: env.WorkDir, golden: golden, started: map[string]*process{}}
	env.Defer(func() {
		for _, p := range s.started {
			p.cmd.Process.Kill() // it may have ended
			<-p.done
		}
		cancel()
		if err := <-served; err != nil {
			panic(err)
		}
	})
	return s, nil
}

// admin makes one request with the powers of an administrator, and returns the
// answer.
func (s *stage) admin(ts *testscript.TestScript, method, path string, body any) []byte {
	raw, err := json.Marshal(body)
	ts.Check(err)
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequest(method, s.server.URL()+"/api/v3/"+path, bytes.NewReader(raw))
	ts.Check(err)
	req.SetBasicAuth(endpoint.DefaultUser, endpoint.DefaultPassword)
	req.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Client{Transport: tr}).Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if resp.StatusCode >= 300 {
		ts.Fatalf("%s %s: status %d: %s", method, path, resp.StatusCode, answer)
	}
	return answer
}

// cmdTenure puts the tenure of a slot, as it is now, into the environment, as
// `muster lead` does for its command.
func cmdTenure(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) == 2, "tenure ROLE SLOT")
	var slots map[string]map[string]profile.Slot
	ts.Check(json.Unmarshal(s.admin(ts, "GET", "profiles/alpha/params/muster%2fslots", nil), &slots))
	slot := slots[args[0]][args[1]]
	for name, v := range map[string]string{"ROLE": args[0], "SLOT": args[1], "EPOCH": fmt.Sprint(slot.Epoch), "INSTANCE": slot.Instance} {
		ts.Setenv("MUSTER_"+name, v)
	}
	ts.Setenv("HOLDER", slot.Holder)
}

// cmdProfile creates a profile with these params.
func cmdProfile(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) == 1 || len(args) == 2, "profile NAME [PARAMS]")
	params := json.RawMessage("{}")
	if len(args) == 2 {
		params = json.RawMessage(args[1])
	}
	s.admin(ts, "POST", "profiles", map[string]any{"Name": args[0], "Params": params})
}

// cmdMachine creates a machine that carries profile alpha, under a UUID that
// counts up, and the configuration of its host in the directory KEY. The UUID
// is in $KEY afterwards. The machine with the KEY manager is the cluster manager.
func cmdMachine(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) == 1 || len(args) == 2, "machine KEY [NAME]")
	s.machine(ts, args[0], args[len(args)-1], "alpha")
}

func (s *stage) machine(ts *testscript.TestScript, key, name string, profiles ...string) {
	s.machines++
	uuid := fmt.Sprintf("00000000-0000-4000-8000-%012d", s.machines)
	params := map[string]any{}
	if key == "manager" {
		params["cluster/manager"] = true
	}
	s.admin(ts, "POST", "machines", map[string]any{"Name": name, "Uuid": uuid, "Params": params, "Profiles": append([]string{}, profiles...), "Runnable": true, "Address": fmt.Sprintf("192.0.2.%d", s.machines)})
	ts.Setenv(key, uuid)
	home := filepath.Join(s.work, key)
	config := fmt.Sprintf("endpoint: %s\nprofile: alpha\nuuid: %s\nname: %s\nca_file: %s\nprofile_token_file: %s\nstate_dir: %s\nsocket: %s\n",
		s.server.URL(), uuid, key, filepath.Join(s.work, "ca.pem"), filepath.Join(home, "profile.token"), filepath.Join(home, "state"), filepath.Join(home, "sock"))
	ts.Check(os.MkdirAll(home, 0o700))
	ts.Check(os.WriteFile(filepath.Join(home, "muster.yaml"), []byte(config), 0o600))
}

// cmdToken writes a token for machine $KEY into KEY/profile.token, or into
// KEY/state/credentials/machine.token, where muster looks for it.
func cmdToken(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) >= 2 && len(args) <= 4, "token profile|machine KEY [TTL [PROFILE]]")
	ttl, name := time.Hour, "alpha"
	if len(args) == 4 {
		name = args[3]
	}
	if len(args) > 2 {
		var err error
		ttl, err = time.ParseDuration(args[2])
		ts.Check(err)
	}
	uuid, file := ts.Getenv(args[1]), filepath.Join(s.work, args[1], "profile.token")
	make := func() (string, error) { return s.server.ProfileToken(uuid, name, ttl) }
	if args[0] == "machine" {
		file = filepath.Join(s.work, args[1], "state", "credentials", "machine.token")
		make = func() (string, error) { return s.server.MachineToken(uuid, ttl) }
	}
	token, err := make()
	ts.Check(err)
	s.secret(token)
	ts.Check(os.MkdirAll(filepath.Dir(file), 0o700))
	ts.Check(os.WriteFile(file, []byte(token+"\n"), 0o600))
}

func (s *stage) secret(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets = append(s.secrets, token)
}

// leak returns what of text is a part of a token, or "".
func (s *stage) leak(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, secret := range s.secrets {
		for _, part := range []string{secret[:24], secret[len(secret)-24:]} {
			if strings.Contains(text, part) {
				return part
			}
		}
	}
	return ""
}

// cmdAs makes the commands after it run on the host KEY; or anywhere, with an
// operator's credentials.
func cmdAs(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) == 1, "as KEY|operator")
	ts.Setenv("RS_TOKEN", "")
	ts.Setenv("MUSTER_CONFIG", filepath.Join(s.work, args[0], "muster.yaml"))
	if args[0] != "operator" {
		return
	}
	token, err := s.server.UserToken(endpoint.DefaultUser, time.Hour)
	ts.Check(err)
	s.secret(token)
	ts.Setenv("RS_TOKEN", token)
	home := filepath.Join(s.work, "operator")
	ts.Check(os.MkdirAll(home, 0o700))
	config := fmt.Sprintf("endpoint: %s\nprofile: alpha\nca_file: %s\nstate_dir: %s\nsocket: %s\n",
		s.server.URL(), filepath.Join(s.work, "ca.pem"), filepath.Join(home, "state"), filepath.Join(home, "sock"))
	ts.Check(os.WriteFile(filepath.Join(home, "muster.yaml"), []byte(config), 0o600))
}

// cmdParam compares a param of the profile with the JSON that is wanted.
func cmdParam(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) == 2, "param NAME JSON")
	var got, want any
	ts.Check(json.Unmarshal(s.admin(ts, "GET", "profiles/alpha/params/"+url.PathEscape(args[0]), nil), &got))
	ts.Check(json.Unmarshal([]byte(args[1]), &want))
	if diff := cmp.Diff(want, got); diff != "" {
		ts.Fatalf("param %s (-want +got):\n%s", args[0], diff)
	}
}

// cmdDeclare declares a param.
func cmdDeclare(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) == 2, "declare NAME FIELDS")
	fields := map[string]any{}
	ts.Check(json.Unmarshal([]byte(args[1]), &fields))
	fields["Name"] = args[0]
	s.admin(ts, "POST", "params", fields)
}

// cmdPatch patches an object, as an administrator.
func cmdPatch(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) == 2, "patch PATH OPS")
	s.admin(ts, "PATCH", args[0], json.RawMessage(args[1]))
}

// cmdWeb starts a web server that is no DRP endpoint; its URL is in $WEB and
// its certificate in web.pem.
func cmdWeb(ts *testscript.TestScript, s *stage, args []string) {
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintln(w, "<html>welcome</html>")
	}))
	ts.Defer(web.Close)
	ts.Setenv("WEB", web.URL)
	ts.Check(os.WriteFile(filepath.Join(s.work, "web.pem"), pemOf(web), 0o600))
}
