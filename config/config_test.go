package config_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"muster/config"
)

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "muster.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestLaterSourcesWinAndOriginsAreKnown(t *testing.T) {
	name := write(t, "endpoint: https://file:8092\nprofile: from-file\nuuid: from-file\n")
	env := map[string]string{"RS_ENDPOINT": "https://rs:8092", "MUSTER_ENDPOINT": "https://env:8092", "MUSTER_PROFILE": "from-env"}
	c, err := config.Load(name, func(k string) string { return env[k] }, map[string]string{"profile": "from-flag"})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ key, got, want, origin string }{
		{"endpoint", c.Endpoint, "https://env:8092", "environment MUSTER_ENDPOINT"},
		{"profile", c.Profile, "from-flag", "flag --profile"},
		{"uuid", c.UUID, "from-file", "file " + name},
		{"state_dir", c.StateDir, "/var/lib/muster", "default"},
	} {
		if row.got != row.want || c.Origin(row.key) != row.origin {
			t.Errorf("%s = %q from %q, want %q from %q", row.key, row.got, c.Origin(row.key), row.want, row.origin)
		}
	}
}

func TestWorkflowsAreAllowedByNameAndNotByPattern(t *testing.T) {
	load := func(text string) ([]string, error) {
		c, err := config.Load(write(t, text), func(string) string { return "" }, nil)
		return c.Workflows(), err
	}
	if got, err := load("allow_workflows: k3s-server, k3s-agent\n"); err != nil || strings.Join(got, "|") != "k3s-server|k3s-agent" {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := load("endpoint: x\n"); err != nil || len(got) != 0 {
		t.Errorf("by default: got %q, %v, want none", got, err)
	}
	if _, err := load("allow_workflows: 'k3s-*'\n"); !errors.Is(err, config.ErrInvalid) {
		t.Errorf("a pattern: got %v, want ErrInvalid", err)
	}
}

func TestAFingerprintOfDigitsStaysText(t *testing.T) {
	digits := strings.Repeat("12345678", 8)
	for _, text := range []string{digits, "1e5", "0x10"} {
		c, err := config.Load(write(t, "fingerprint: "+text+"\n"), func(string) string { return "" }, nil)
		if err != nil || c.Fingerprint != text {
			t.Errorf("fingerprint %s read as %q, %v", text, c.Fingerprint, err)
		}
	}
}

func TestAllFaultsAreReportedAtOnce(t *testing.T) {
	name := write(t, "endpont: x\nsocket_: y\nlog_level: loud\ninsecure: perhaps\n")
	_, err := config.Load(name, func(string) string { return "" }, nil)
	if !errors.Is(err, config.ErrInvalid) {
		t.Fatalf("got %v, want ErrInvalid", err)
	}
	for _, want := range []string{`unknown key "endpont"`, `unknown key "socket_"`, "log_level (file", `"loud"`, `"perhaps"`, "endpoint, profile"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
}

func TestBrokenFilesAreNamed(t *testing.T) {
	for _, text := range []string{"endpoint", "endpoint: [1, 2]\n", "endpoint: a\nendpoint: b\n", "{"} {
		name := write(t, text)
		if _, err := config.Load(name, func(string) string { return "" }, nil); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: got %v, want an error that names the file", text, err)
		}
	}
	if _, err := config.Load("/does/not/exist", func(string) string { return "" }, nil); err == nil {
		t.Error("a named file that does not exist is no error")
	}
}

func TestRequireNamesWhatIsMissingAndHowToSetIt(t *testing.T) {
	c, err := config.Load("", func(string) string { return "" }, map[string]string{"endpoint": "https://x"})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Require("endpoint", "profile", "uuid")
	if err == nil || strings.Contains(err.Error(), "endpoint is not set") || !strings.Contains(err.Error(), "--profile") || !strings.Contains(err.Error(), "RS_UUID") {
		t.Errorf("got %v", err)
	}
}

func TestTwoThingsThatVouchForTheEndpointContradictOneAnother(t *testing.T) {
	one := map[string]string{"insecure": "true", "fingerprint": "x", "ca_file": "y"}
	none := func(string) string { return "" }
	for out := range one {
		two := maps.Clone(one)
		delete(two, out)
		text := ""
		for key, v := range two {
			text += key + ": " + v + "\n"
		}
		env := func(name string) string { return two[strings.ToLower(strings.TrimPrefix(name, "MUSTER_"))] }
		_, errFlags := config.Load("", none, two)
		_, errEnv := config.Load("", env, nil)
		_, errFile := config.Load(write(t, text), none, nil)
		for _, err := range []error{errFlags, errEnv, errFile} {
			if !errors.Is(err, config.ErrInvalid) || !strings.Contains(err.Error(), "contradict one another") {
				t.Errorf("all but %s: got %v", out, err)
			}
		}
	}
	if _, err := config.Load("", none, map[string]string{"insecure": "false", "ca_file": "x", "fingerprint": ""}); err != nil {
		t.Errorf("one that is given, and two that are switched off: %v", err)
	}
}

// So a pin that does not hold any more is got rid of by giving something else.
func TestWhatVouchesForTheEndpointDisplacesWhatDidBefore(t *testing.T) {
	type keys = map[string]string
	for _, row := range []struct{ file, env, flags, want keys }{
		{keys{"fingerprint": "old"}, nil, keys{"ca_file": "ca"}, keys{"ca_file": "ca"}},
		{keys{"ca_file": "old"}, keys{"MUSTER_FINGERPRINT": "new"}, nil, keys{"fingerprint": "new"}},
		{keys{"insecure": "true"}, keys{"MUSTER_CA_FILE": "ca"}, nil, keys{"ca_file": "ca"}},
		{keys{"fingerprint": "old"}, keys{"MUSTER_CA_FILE": "ca"}, keys{"insecure": "true"}, keys{"insecure": "true"}},
		{nil, keys{"RS_CA_CERT": "of drpcli", "MUSTER_FINGERPRINT": "new"}, nil, keys{"fingerprint": "new"}},
		{keys{"fingerprint": "old"}, nil, keys{"insecure": "false"}, keys{"fingerprint": "old"}},
		{keys{"fingerprint": "old"}, keys{"MUSTER_PROFILE": "p"}, nil, keys{"fingerprint": "old"}},
	} {
		text := "endpoint: https://x\n"
		for key, v := range row.file {
			text += key + ": " + v + "\n"
		}
		c, err := config.Load(write(t, text), func(name string) string { return row.env[name] }, row.flags)
		if err != nil {
			t.Errorf("%v, %v, %v: %v", row.file, row.env, row.flags, err)
			continue
		}
		got := keys{"ca_file": c.CAFile, "fingerprint": c.Fingerprint, "insecure": strconv.FormatBool(c.Insecure)}
		maps.DeleteFunc(got, func(_, v string) bool { return v == "" || v == "false" })
		if !maps.Equal(got, row.want) {
			t.Errorf("%v, %v, %v: got %v, want %v", row.file, row.env, row.flags, got, row.want)
		}
		for _, key := range []string{"ca_file", "fingerprint"} {
			if row.want[key] == "" && strings.Contains(string(c.File()), key) {
				t.Errorf("the file has %s that was displaced:\n%s", key, c.File())
			}
		}
	}
}

func TestTheReadmeNamesEveryKeyAndVariable(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	if _, err := config.Load("", func(name string) string { names = append(names, name); return "" }, nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Concat(config.Keys(), names) {
		if !strings.Contains(string(readme), "`"+name+"`") {
			t.Errorf("README.md does not name `%s`", name)
		}
	}
}

func TestWhatDiffersIsNamed(t *testing.T) {
	load := func(flags map[string]string) config.Config {
		t.Helper()
		c, err := config.Load("", func(string) string { return "" }, flags)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a, b := load(map[string]string{"endpoint": "https://x"}), load(map[string]string{"endpoint": "https://y", "insecure": "true"})
	if got, want := a.Differ(b), []string{"endpoint", "insecure"}; !slices.Equal(got, want) || a.Differ(a) != nil {
		t.Errorf("Differ: %q, want %q", got, want)
	}
}

func TestAFileSaysWhatWasSet(t *testing.T) {
	none := func(string) string { return "" }
	c, err := config.Load("", none, map[string]string{"endpoint": "https://x", "insecure": "true", "name": `it's "it": # one`, "socket": "elsewhere"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Set("uuid", "0123", "somebody"); err != nil || c.Origin("uuid") != "somebody" {
		t.Errorf("Set: %v, origin %s", err, c.Origin("uuid"))
	}
	if err := c.Set("colour", "red", "somebody"); !errors.Is(err, config.ErrInvalid) {
		t.Errorf("Set of an unknown key: %v", err)
	}
	again, err := config.Load(write(t, string(c.File("socket"))), none, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Differ(again), []string{"socket"}; !slices.Equal(got, want) {
		t.Errorf("read again, %q differ, want %q", got, want)
	}
}
