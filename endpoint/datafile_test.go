package endpoint_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"gitlab.com/rackn/provision/v4/api"
	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint"
)

// run serves as the config says until the returned function is called.
func run(t *testing.T, cfg endpoint.Config) (s *endpoint.Server, stop func()) {
	t.Helper()
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	s, err := endpoint.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
	t.Cleanup(stop)
	return s, stop
}

// restart ends a server and starts another one with the same data file. The
// callers are those whose idle connections the server would wait for.
func restart(t *testing.T, stop func(), cfg endpoint.Config, callers ...caller) (*endpoint.Server, func()) {
	t.Helper()
	for _, c := range callers {
		c.http.CloseIdleConnections()
	}
	stop()
	return run(t, cfg)
}

func dataFile(t *testing.T) string { return filepath.Join(t.TempDir(), "endpoint.json") }

func TestRestartKeepsEveryObjectAndItsETag(t *testing.T) {
	for _, compat := range []string{"", "3.13"} {
		cfg := endpoint.Config{Data: dataFile(t), Compat: compat}
		s, stop := run(t, cfg)
		c := asAdmin(t, s)
		plant(c)
		c.must("POST", "/params", `{"Name":"cluster/n","Schema":{"type":"integer","default":7}}`)
		c.must("POST", "/profiles/c1/params/cluster/n", `12345678901234567`)
		c.must("POST", "/profiles/c1/params/odd", `{"b":1.50,"a":"<&> \u00fc","c":[]}`)
		c.must("DELETE", "/bootenvs/sledgehammer", "")
		c.must("POST", "/contents", `{"meta":{"Name":"pack-1"},"sections":{"profiles":{"packed":{"Name":"packed","Params":{"x1":1}}}}}`)
		all := func(c caller) map[string]string {
			seen := map[string]string{"pack-1": c.must("GET", "/contents/pack-1", "").body, "contents": c.must("GET", "/contents", "").body}
			for _, prefix := range []string{"machines", "profiles", "params", "stages", "bootenvs", "users", "roles", "workflows", "tasks"} {
				list := c.must("GET", "/"+prefix, "")
				seen[prefix] = list.body
				var keyed []map[string]any
				if err := json.Unmarshal([]byte(list.body), &keyed); err != nil {
					t.Fatal(err)
				}
				for _, o := range keyed {
					key, _ := o["Name"].(string)
					if prefix == "machines" {
						key = o["Uuid"].(string)
					}
					one := c.must("GET", "/"+prefix+"/"+strings.ReplaceAll(key, " ", "%20"), "")
					seen[prefix+"/"+key] = one.header.Get("ETag") + one.body
				}
			}
			return seen
		}
		before := all(c)
		if len(before) < 15 {
			t.Fatalf("only %d things to compare", len(before))
		}
		s, _ = restart(t, stop, cfg, c)
		c = asAdmin(t, s)
		if diff := cmp.Diff(before, all(c)); diff != "" {
			t.Errorf("compat %q: a restart changed this (-before +after):\n%s", compat, diff)
		}
		if got := c.do("POST", "/profiles/c1/params/cluster/n", `"text"`); got.status != 409 {
			t.Errorf("compat %q: the declaration is not in force any more: %d %s", compat, got.status, got.body)
		}
		if compat == "" {
			etag := c.must("GET", "/profiles/c1", "").header.Get("ETag")
			c.must("POST", "/profiles/c1/params/odd", `1`)
			if got := c.must("GET", "/profiles/c1", "").header.Get("ETag"); got == etag || got == "" {
				t.Errorf("the ETag stays %s over a change after the restart", got)
			}
		}
	}
}

func TestRestartKeepsTokensPasswordsAndTheCertificate(t *testing.T) {
	cfg := endpoint.Config{Data: dataFile(t)}
	s, stop := run(t, cfg)
	c := asAdmin(t, s)
	plant(c)
	c.must("POST", "/users", `{"Name":"ann","Roles":["superuser"]}`)
	c.must("PUT", "/users/ann/password", `{"Password":"horse staple"}`)
	c.must("POST", "/tasks", `{"Name":"t1","ExtraClaims":[{"scope":"profiles","action":"create","specific":"*"}]}`)
	c.must("POST", "/stages", `{"Name":"s1","Tasks":["t1"]}`)
	c.must("POST", "/workflows", `{"Name":"w1","Stages":["s1"]}`)
	c.must("PATCH", "/machines/"+nodeID, `[{"op":"replace","path":"/Workflow","value":"w1"}]`)
	job := &models.Job{}
	if err := json.Unmarshal([]byte(c.must("POST", "/jobs", `{"Machine":"`+nodeID+`"}`).body), job); err != nil || job.Token == "" {
		t.Fatalf("job %+v, %v", job, err)
	}
	tokens := map[string]string{"job": job.Token}
	for kind, mint := range map[string]func() (string, error){
		"user":    func() (string, error) { return s.UserToken("ann", time.Hour) },
		"machine": func() (string, error) { return s.MachineToken(nodeID, 0) },
		"profile": func() (string, error) { return s.ProfileToken(nodeID, "c1", 0) },
	} {
		token, err := mint()
		if err != nil {
			t.Fatal(err)
		}
		tokens[kind] = token
	}
	tokens["revoked"] = tokens["user"]
	c.must("PUT", "/users/ann/password", `{"Password":"battery"}`)
	tokens["user"], _ = s.UserToken("ann", time.Hour)
	fingerprint, pem := s.Fingerprint(), s.CertPEM()

	s, _ = restart(t, stop, cfg, c)
	if s.Fingerprint() != fingerprint || !bytes.Equal(s.CertPEM(), pem) {
		t.Error("the certificate has changed")
	}
	for _, want := range []struct {
		kind, method, path, body string
		status                   int
	}{
		{"user", "GET", "/profiles/c1", "", 200},
		{"machine", "GET", "/machines/" + nodeID, "", 200},
		{"machine", "GET", "/profiles/c1", "", 404},
		{"profile", "GET", "/profiles/c1", "", 200},
		{"profile", "GET", "/machines/" + nodeID, "", 404},
		{"job", "POST", "/profiles", `{"Name":"by-the-job"}`, 201},
		{"revoked", "GET", "/profiles/c1", "", 403},
	} {
		if got := as(t, s, tokens[want.kind]).do(want.method, want.path, want.body); got.status != want.status {
			t.Errorf("%s token: %s %s: got %d %s, want %d", want.kind, want.method, want.path, got.status, got.body, want.status)
		}
	}
	for user, password := range map[string]string{"ann": "battery", endpoint.DefaultUser: endpoint.DefaultPassword} {
		client, err := api.UserSessionTokenProxy(s.URL(), user, password, true, false)
		if err != nil {
			t.Errorf("log in as %s: %v", user, err)
			continue
		}
		client.Close()
	}
}

func TestRestartKeepsSecureParamsReadable(t *testing.T) {
	cfg := endpoint.Config{Data: dataFile(t)}
	s, stop := run(t, cfg)
	c := asAdmin(t, s)
	plant(c)
	c.must("POST", "/params", `{"Name":"cluster/secret","Secure":true}`)
	var key []byte
	if err := json.Unmarshal([]byte(c.must("GET", "/profiles/c1/pubkey", "").body), &key); err != nil {
		t.Fatal(err)
	}
	sealed := &models.SecureData{}
	if err := sealed.Marshal(key, "open sesame"); err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(sealed)
	if err != nil {
		t.Fatal(err)
	}
	c.must("POST", "/profiles/c1/params/cluster/secret", string(body))
	s, _ = restart(t, stop, cfg, c)
	c = asAdmin(t, s)
	if got := c.must("GET", "/profiles/c1/params/cluster/secret?decode=true", "").body; got != `"open sesame"` {
		t.Errorf("got %s", got)
	}
	c.must("POST", "/profiles/c1/params/cluster/secret", string(body)) // still sealed for this key
}

// startJob plants a machine with a workflow, and returns the id of its first job.
func startJob(t *testing.T, c caller) string {
	t.Helper()
	plant(c)
	c.must("POST", "/tasks", `{"Name":"t1"}`)
	c.must("POST", "/stages", `{"Name":"s1","Tasks":["t1"]}`)
	c.must("POST", "/workflows", `{"Name":"w1","Stages":["s1"]}`)
	c.must("PATCH", "/machines/"+nodeID, `[{"op":"replace","path":"/Workflow","value":"w1"}]`)
	var job struct{ Uuid string }
	if err := json.Unmarshal([]byte(c.must("POST", "/jobs", `{"Machine":"`+nodeID+`"}`).body), &job); err != nil || job.Uuid == "" {
		t.Fatalf("no job: %v", err)
	}
	return job.Uuid
}

func TestRestartKeepsJobLogsAndForgetsThoseOfDeletedJobs(t *testing.T) {
	cfg := endpoint.Config{Data: dataFile(t)}
	s, stop := run(t, cfg)
	c := asAdmin(t, s)
	job := startJob(t, c)
	logOf := func(s *endpoint.Server) string {
		var text bytes.Buffer
		if err := admin(t, s).Req().UrlFor("jobs", job, "log").Do(&text); err != nil {
			t.Error(err)
		}
		return text.String()
	}
	c.must("PUT", "/jobs/"+job+"/log", "one\n")
	c.must("PUT", "/jobs/"+job+"/log", "two\n")
	// What a crash leaves behind the text that was acknowledged does not count.
	file := filepath.Join(cfg.Data+".d", "logs", job)
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString("half of thr")
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	s, stop = restart(t, stop, cfg, c)
	c = asAdmin(t, s)
	if got := logOf(s); got != "one\ntwo\n" {
		t.Errorf("after the restart the log is %q", got)
	}
	c.must("PUT", "/jobs/"+job+"/log", "3\n")
	if got := logOf(s); got != "one\ntwo\n3\n" {
		t.Errorf("the log is %q", got)
	}
	c.must("DELETE", "/jobs/"+job, "")
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the log of the deleted job: %v", err)
	}
	stop()
	if err := os.WriteFile(file, []byte("a crash came before its removal"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, cfg)
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("after a restart the log of the deleted job: %v", err)
	}
}

func TestDataFileIsReadableByItsOwnerOnlyAndHasAnObjectALine(t *testing.T) {
	file := dataFile(t)
	s, stop := run(t, endpoint.Config{Data: file})
	plant(asAdmin(t, s))
	stop()
	for path, want := range map[string]os.FileMode{file: 0o600, file + ".lock": 0o600, file + ".d": 0o700 | os.ModeDir} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v; want mode %v", path, info.Mode(), err, want)
		}
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(raw) {
		t.Errorf("not JSON:\n%s", raw)
	}
	if n := strings.Count(string(raw), "\n"+`{"Type":"profiles","Version":`); n != 2 {
		t.Errorf("%d lines with profiles, want 2:\n%s", n, raw)
	}
}

func TestFreshFileIsWrittenBeforeTheFirstAnswer(t *testing.T) {
	file := dataFile(t)
	s, err := endpoint.New(endpoint.Config{Listen: "127.0.0.1:0", Data: file})
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Certificate string }
	if err := json.Unmarshal(before, &doc); err != nil || doc.Certificate != string(s.CertPEM()) {
		t.Errorf("the file has the certificate %q, %v; want that of the server", doc.Certificate, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Serve(ctx); err != nil {
		t.Error(err)
	}
}

func TestUnusableDataFileIsRefusedAndLeftAlone(t *testing.T) {
	good := dataFile(t)
	_, stop := run(t, endpoint.Config{Data: good})
	stop()
	raw, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	edit := func(old, new string) string {
		if !strings.Contains(text, old) {
			t.Fatalf("nothing to edit: %s", old)
		}
		return strings.Replace(text, old, new, 1)
	}
	afresh := "move it and its .d folder away to start afresh"
	for what, c := range map[string]struct {
		text, compat string
		mode         os.FileMode
		want         []string
	}{
		"empty":             {"", "", 0o600, []string{"found 0 bytes that are not", afresh}},
		"truncated":         {text[:len(text)-3], "", 0o600, []string{"unexpected end of JSON input", afresh}},
		"cut in the middle": {text[:len(text)/2], "", 0o600, []string{"that are not", afresh}},
		"more at the end":   {text + "{}", "", 0o600, []string{"that are not", afresh}},
		"other JSON":        {"{}", "", 0o600, []string{"found other JSON", "name another file"}},
		"a list":            {"[]", "", 0o600, []string{"that are not", afresh}},
		"a later format":    {edit(`"Format": 1`, `"Format": 2`), "", 0o600, []string{"expected format 1, found 2", "start the later version"}},
		"an unknown field":  {edit(`"Format": 1`, `"Format": 1, "More": 1`), "", 0o600, []string{`unknown field "More"`, afresh}},
		"another mode":      {text, "3.13", 0o600, []string{`expected the data of an endpoint with compat "3.13", found compat ""`, "start with that"}},
		"for all to read":   {text, "", 0o644, []string{"expected mode 0600, found 0644", "chmod 600"}},
		"no token key":      {edit(`"TokenKey": "`, `"TokenKey": "AAAA`), "", 0o600, []string{"a TokenKey of 32 bytes", afresh}},
		"a broken key":      {edit(`BEGIN PRIVATE KEY`, `BEGIN PIRATE KEY`), "", 0o600, []string{"certificate and its key", afresh}},
		"an unknown type":   {edit(`{"Type":"profiles"`, `{"Type":"prophets"`), "", 0o600, []string{"found another: object", afresh}},
		"no key pair":       {edit(`"Public":`, `"Public":null,"Public":null,"Private":`), "", 0o600, []string{"expected a key pair", afresh}},
		"an object twice":   {edit(`"Name":"sledgehammer"`, `"Name":"local"`), "", 0o600, []string{"bootenvs local comes twice", afresh}},
	} {
		file := dataFile(t)
		if err := os.WriteFile(file, []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		_, err := endpoint.New(endpoint.Config{Listen: "127.0.0.1:0", Data: file, Compat: c.compat})
		if err == nil {
			t.Errorf("%s: was accepted", what)
			continue
		}
		for _, want := range append(c.want, file) {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v; want %s", what, err, want)
			}
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != c.text {
			t.Errorf("%s: the file was changed (%v)", what, err)
		}
	}
}

func TestDataFileThatIsNoFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	link, target := filepath.Join(dir, "link"), filepath.Join(dir, "target")
	if err := errors.Join(os.Symlink(target, link), os.WriteFile(target, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	wide := dataFile(t)
	if err := errors.Join(os.Mkdir(wide+".d", 0o700), os.Chmod(wide+".d", 0o755)); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		t.TempDir():                          "expected a regular file",
		link:                                 "expected a regular file",
		filepath.Join(dir, "nosuch", "file"): "no such file or directory",
		wide:                                 "expected mode 0700, found 0755",
	} {
		if _, err := endpoint.New(endpoint.Config{Listen: "127.0.0.1:0", Data: file}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", file, err, want)
		}
	}
}

func TestSecondEndpointOnOneDataFileIsRefused(t *testing.T) {
	cfg := endpoint.Config{Listen: "127.0.0.1:0", Data: dataFile(t)}
	_, stop := run(t, cfg)
	if _, err := endpoint.New(cfg); err == nil || !strings.Contains(err.Error(), "in use by process ") {
		t.Errorf("a second one says %v", err)
	}
	restart(t, stop, cfg)
}

func TestLeftoversOfACrashAreRemoved(t *testing.T) {
	cfg := endpoint.Config{Data: dataFile(t)}
	upload := filepath.Join(cfg.Data+".d", "new", "1")
	if err := errors.Join(os.MkdirAll(filepath.Dir(upload), 0o700), os.WriteFile(upload, nil, 0o600),
		os.WriteFile(cfg.Data+".new", []byte("{"), 0o600)); err != nil {
		t.Fatal(err)
	}
	run(t, cfg)
	for _, path := range []string{upload, cfg.Data + ".new"} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// syncedBuffer collects a log.
type syncedBuffer struct{ lines chan string }

func (b syncedBuffer) Write(p []byte) (int, error) {
	b.lines <- string(p)
	return len(p), nil
}

func TestChangeThatCannotBeWrittenIsRefusedAndNotSeen(t *testing.T) {
	log := syncedBuffer{make(chan string, 100)}
	cfg := endpoint.Config{Data: dataFile(t), Logger: hclog.New(&hclog.LoggerOptions{Output: log})}
	s, stop := run(t, cfg)
	c := asAdmin(t, s)
	plant(c)
	commits := make(chan endpoint.Commit, 10)
	s.OnCommit(func(c endpoint.Commit) { commits <- c })
	before := c.must("GET", "/profiles/c1", "")
	// A folder with something in it is where the new file should be.
	block := filepath.Join(cfg.Data+".new", "x")
	if err := os.MkdirAll(block, 0o700); err != nil {
		t.Fatal(err)
	}
	got := c.do("POST", "/profiles/c1/params/cas", `1`)
	if got.status != 500 || !strings.Contains(got.fault(t).Messages[0], "cannot write it to disk") || strings.Contains(got.body, cfg.Data) {
		t.Errorf("got %d %s", got.status, got.body)
	}
	if line := <-log.lines; !strings.Contains(line, "[ERROR]") || !strings.Contains(line, cfg.Data+".new") {
		t.Errorf("the log says %q", line)
	}
	if after := c.must("GET", "/profiles/c1", ""); after.body != before.body || after.header.Get("ETag") != before.header.Get("ETag") {
		t.Errorf("the change is seen: %s", after.body)
	}
	if err := os.RemoveAll(cfg.Data + ".new"); err != nil {
		t.Fatal(err)
	}
	c.must("POST", "/profiles/c1/params/cas", `2`)
	if commit := <-commits; !strings.Contains(string(commit.Object), `"cas":2`) || len(commits) > 0 {
		t.Errorf("commits are %s and %d more", commit.Object, len(commits))
	}
	s, _ = restart(t, stop, cfg, c)
	if got := asAdmin(t, s).must("GET", "/profiles/c1/params/cas", "").body; got != "2" {
		t.Errorf("after a restart the value is %s", got)
	}
}

// What OnCommit tells is in the file already, and all of a transaction is.
func TestCommitIsInTheFileBeforeAnybodySeesIt(t *testing.T) {
	cfg := endpoint.Config{Data: dataFile(t)}
	s, _ := run(t, cfg)
	c := asAdmin(t, s)
	plant(c)
	c.must("POST", "/tasks", `{"Name":"t1"}`)
	c.must("POST", "/stages", `{"Name":"s1","Tasks":["t1"]}`)
	c.must("POST", "/workflows", `{"Name":"w1","Stages":["s1"]}`)
	c.must("PATCH", "/machines/"+nodeID, `[{"op":"replace","path":"/Workflow","value":"w1"}]`)
	files := make(chan string, 10)
	s.OnCommit(func(commit endpoint.Commit) {
		raw, err := os.ReadFile(cfg.Data)
		if err != nil {
			t.Error(err)
		}
		files <- string(raw)
	})
	var job struct{ Uuid string }
	if err := json.Unmarshal([]byte(c.must("POST", "/jobs", `{"Machine":"`+nodeID+`"}`).body), &job); err != nil {
		t.Fatal(err)
	}
	if len(files) < 2 {
		t.Fatalf("%d commits, want the job and its machine", len(files))
	}
	first := <-files
	if !strings.Contains(first, `"Uuid":"`+job.Uuid+`"`) || !strings.Contains(first, `"CurrentJob":"`+job.Uuid+`"`) {
		t.Errorf("at the first commit the job, or that its machine runs it, is not in the file:\n%s", first)
	}
	for len(files) > 0 {
		if next := <-files; next != first {
			t.Error("one transaction was written more than once")
		}
	}
}

func TestCertificateIsKeptWhereItDoesNotCoverTheAddressAndTheLogSaysSo(t *testing.T) {
	cfg := endpoint.Config{Data: dataFile(t)}
	s, stop := run(t, cfg)
	fingerprint := s.Fingerprint()
	stop()
	log := syncedBuffer{make(chan string, 100)}
	cfg.Listen, cfg.Logger = "127.0.0.9:0", hclog.New(&hclog.LoggerOptions{Output: log})
	s, _ = run(t, cfg)
	if s.Fingerprint() != fingerprint {
		t.Error("the certificate has changed")
	}
	if line := <-log.lines; !strings.Contains(line, "[WARN]") || !strings.Contains(line, "127.0.0.9:0") {
		t.Errorf("the log says %q", line)
	}
}

func TestLogsAndFilesThatCannotBeWrittenAreRefused(t *testing.T) {
	log := syncedBuffer{make(chan string, 100)}
	cfg := endpoint.Config{Data: dataFile(t), Logger: hclog.New(&hclog.LoggerOptions{Output: log})}
	s, _ := run(t, cfg)
	c := asAdmin(t, s)
	job := startJob(t, c)
	dir := cfg.Data + ".d"
	// A folder lies where the log should, and a file where the uploads should.
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "logs", job), 0o700),
		os.Remove(filepath.Join(dir, "new")), os.WriteFile(filepath.Join(dir, "new"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for path, method := range map[string]string{"/jobs/" + job + "/log": "PUT", "/files/x": "POST"} {
		got := c.do(method, path, "text", octets...)
		if got.status != 500 || !strings.Contains(got.fault(t).Messages[0], "cannot write it to disk") || strings.Contains(got.body, dir) {
			t.Errorf("%s %s: got %d %s", method, path, got.status, got.body)
		}
	}
	if len(log.lines) != 2 || !strings.Contains(<-log.lines, "[ERROR]") || !strings.Contains(<-log.lines, "[ERROR]") {
		t.Errorf("%d more lines are logged, want 2 errors", len(log.lines))
	}
}

// Whatever becomes of the file, an endpoint says what is wrong with it or serves
// what is left.
func TestDamagedDataFileIsNeverTakenForAnother(t *testing.T) {
	good := dataFile(t)
	s, stop := run(t, endpoint.Config{Data: good})
	c := asAdmin(t, s)
	plant(c)
	c.must("POST", "/params", `{"Name":"cluster/n","Schema":{"type":"integer","default":7}}`)
	c.http.CloseIdleConnections()
	stop()
	raw, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	file := dataFile(t)
	try := func(text []byte) error {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := endpoint.New(endpoint.Config{Listen: "127.0.0.1:0", Data: file})
		if err == nil {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := s.Serve(ctx); err != nil {
				t.Error(err)
			}
		}
		if got, readErr := os.ReadFile(file); readErr != nil || !bytes.Equal(got, text) {
			t.Errorf("the file was changed (%v)", readErr)
		}
		return err
	}
	if err := try(raw); err != nil {
		t.Fatalf("the whole file: %v", err)
	}
	end := len(bytes.TrimRight(raw, "\n"))
	for i := 0; i < end; i += 61 {
		if err := try(raw[:i]); err == nil {
			t.Errorf("%d of %d bytes are accepted", i, len(raw))
		}
	}
	refused := 0
	for i := 0; i < end; i += 211 {
		bad := bytes.Clone(raw)
		bad[i] ^= 0x10
		if try(bad) != nil {
			refused++
		}
	}
	if refused == 0 {
		t.Error("no change of a byte is noticed")
	}
}
