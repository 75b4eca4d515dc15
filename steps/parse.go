package steps

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v2"

	"muster/coordinator"
)

// keys is what a file holds: flags of `muster run`, and its command.
type keys struct {
	Name     string   `yaml:"name"`
	After    []string `yaml:"after"`
	Role     string   `yaml:"role"`
	Timeout  string   `yaml:"timeout"`
	Limit    string   `yaml:"limit"`
	User     string   `yaml:"user"`
	Command  []string `yaml:"command"`
	Workflow string   `yaml:"workflow"`
}

// Any is the role of a step that is for everybody.
const Any = "any"

// parse reads the step of a file. With an error it returns what it could read.
func parse(file string, raw []byte) (Step, error) {
	var k keys
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	decoder.SetStrict(true)
	if err := decoder.Decode(&k); err != nil {
		return Step{Name: k.Name}, unreadable(file, err)
	}
	if err := decoder.Decode(&keys{}); !errors.Is(err, io.EOF) {
		return Step{Name: k.Name}, fmt.Errorf("%s: expected one step, found more than one document: each step has a file of its own", file)
	}
	s := Step{Name: k.Name, After: k.After, Role: k.Role, User: k.User, Command: k.Command, Workflow: k.Workflow, File: filepath.Base(file), RoleAt: at(file, raw, "role")}
	if s.Role == Any {
		s.Role = ""
	}
	return s, s.check(file, raw, k)
}

// check fills in the durations, and reports all that is wrong with the step.
func (s *Step) check(file string, raw []byte, k keys) error {
	var faults []error
	fault := func(key, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s: %s: %s", at(file, raw, key), key, fmt.Sprintf(format, args...)))
	}
	if !ValidName(k.Name) {
		fault("name", "expected up to 64 letters, digits, dots, dashes and underscores, found %q", k.Name)
	}
	if strings.HasPrefix(k.Name, Planted) {
		fault("name", "expected one that does not begin with %s, as those of workflows that the profile names do, found %q", Planted, k.Name)
	}
	if k.Role != "" && !name.MatchString(k.Role) {
		fault("role", "expected leader, worker, any or another role of the cluster, found %q", k.Role)
	}
	if len(k.After) == 0 && s.Role == "" {
		fault("after", "expected a list of gates, such as [complete], or a role to wait for")
	}
	for _, gate := range k.After {
		if _, err := coordinator.ParseGate(gate); err != nil {
			faults = append(faults, fmt.Errorf("%s: after: %w", at(file, raw, "after", gate), err))
		}
	}
	duration := func(key, text string) time.Duration {
		d, err := time.ParseDuration(text)
		if text != "" && (err != nil || d <= 0) {
			fault(key, "expected a duration above 0, such as 30m, found %q", text)
		}
		return d
	}
	s.Timeout, s.Limit = duration("timeout", k.Timeout), duration("limit", k.Limit)
	if k.User != "" {
		u, err := lookup(k.User)
		if err != nil {
			fault("user", "%v", err)
		} else if s.ByHelper = !runsAs(u); s.ByHelper && !plainFile.MatchString(s.File) {
			fault("user", "expected letters, digits, dots, dashes and underscores in the name of a file that the helper of root steps is asked for, found %q", s.File)
		}
	}
	switch {
	case k.Workflow != "" && len(k.Command) > 0:
		fault("workflow", "expected a command or a workflow, found both")
	case k.Workflow != "" && k.User != "":
		fault("user", "expected none with a workflow, found %q", k.User)
	case k.Workflow == "" && (len(k.Command) == 0 || k.Command[0] == ""):
		fault("command", "expected the words of a command, such as [systemctl, start, k3s], or a workflow")
	}
	return errors.Join(faults...)
}

// at returns the place of a key, and of a text in its value, as FILE:LINE; that of
// the file if it is not found.
func at(file string, raw []byte, key string, text ...string) string {
	found := 0
	for i, line := range strings.Split(string(raw), "\n") {
		if found == 0 && strings.HasPrefix(line, key+":") {
			found = i + 1
		}
		if found > 0 && len(text) > 0 && strings.Contains(line, text[0]) {
			return file + ":" + strconv.Itoa(i+1)
		}
	}
	if found == 0 {
		return file
	}
	return file + ":" + strconv.Itoa(found)
}

var (
	lineOf  = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)
	unknown = regexp.MustCompile(`^field (.*) not found in type steps\.keys$`)
	twice   = regexp.MustCompile(`^field (.*) already set in type steps\.keys$`)
	wrong   = regexp.MustCompile("^cannot unmarshal (\\S+)(?: (`.*`))? into (\\S+)$")
)

// unreadable says in our words what the decoder does not like.
func unreadable(file string, err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: expected a step, found nothing but comments", file)
	}
	texts := []string{err.Error()}
	if types, ok := errors.AsType[*yaml.TypeError](err); ok {
		texts = types.Errors
	}
	var faults []error
	for _, text := range texts {
		place := file
		if m := lineOf.FindStringSubmatch(text); m != nil {
			place, text = file+":"+m[1], m[2]
		}
		if m := unknown.FindStringSubmatch(text); m != nil {
			text = fmt.Sprintf("unknown key %q; known are %s", m[1], strings.Join(known(), ", "))
		} else if m := twice.FindStringSubmatch(text); m != nil {
			text = fmt.Sprintf("key %q is there twice", m[1])
		} else if m := wrong.FindStringSubmatch(text); m != nil {
			text = fmt.Sprintf("expected %s, found %s", kinds[m[3]], strings.TrimSpace(m[2]+" "+kinds[m[1]]))
		} else {
			text = "expected `key: value` lines in YAML: " + strings.TrimPrefix(text, "yaml: ")
		}
		faults = append(faults, fmt.Errorf("%s: %s", place, text))
	}
	return errors.Join(faults...)
}

// kinds are the decoder's names of what a value can be.
var kinds = map[string]string{
	"[]string": "a list, such as [one, two]", "string": "text", "steps.keys": "`key: value` lines",
	"!!str": "text", "!!seq": "a list", "!!map": "a map", "!!int": "a number", "!!bool": "a truth value", "!!null": "nothing",
}

// known returns the keys of a file.
func known() []string {
	var all []string
	for f := range reflect.TypeFor[keys]().Fields() {
		all = append(all, f.Tag.Get("yaml"))
	}
	return all
}
