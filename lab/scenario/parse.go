package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v2"
)

// mostBytes bounds a file.
const mostBytes = 256 << 10

// Read reads and checks a scenario. The error is ErrInvalid, and has a line for each
// fault: FILE:LINE, what was expected, what was found.
func Read(file string) (*Scenario, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, mostBytes+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return parse(file, raw)
}

// parse is Read of what was read.
func parse(file string, raw []byte) (*Scenario, error) {
	if len(raw) > mostBytes {
		return nil, fmt.Errorf("%w: %s: expected at most %d bytes", ErrInvalid, file, mostBytes)
	}
	var keys fileKeys
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	decoder.SetStrict(true)
	if err := decoder.Decode(&keys); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, unreadable(file, err))
	}
	if err := decoder.Decode(&fileKeys{}); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: %s: expected one scenario, found more than one document: each has a file of its own", ErrInvalid, file)
	}
	c := &checker{file: file, s: &Scenario{File: file, Name: keys.Name.s}, labels: map[string]bool{}}
	c.check(keys)
	if err := errors.Join(c.faults...); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return c.s, nil
}

// checker turns keys into a scenario, and collects all that is wrong with them.
type checker struct {
	file   string
	s      *Scenario
	labels map[string]bool // that the timeline has given so far
	faults []error
}

// fault notes what is wrong. Line 0 is the file as a whole.
func (c *checker) fault(at place, format string, args ...any) {
	where := c.file
	if at.line > 0 {
		where += ":" + strconv.Itoa(at.line)
	}
	c.faults = append(c.faults, fmt.Errorf("%s: %s", where, fmt.Sprintf(format, args...)))
}

// name is what members, roles, steps and labels may be called.
var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// objectName is what DRP lets machines and workflows be called.
var objectName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]{1,62}$`)

const objectForm = "2 to 63 letters, digits, dots, dashes and underscores, of which the first is a letter"

// allMembers is the word that stands for them.
const allMembers = "all"

const nameForm = "up to 63 letters, digits, dots, dashes and underscores"

func (c *checker) check(k fileKeys) {
	if c.s.Name == "" {
		c.s.Name = strings.TrimSuffix(filepath.Base(c.file), filepath.Ext(c.file))
	}
	c.members(k.Members)
	c.roles(k.Roles)
	c.workflows(k.Workflows)
	if k.Round != nil {
		c.s.Round = c.round(*k.Round)
		if k.Round.Force.given() {
			c.fault(k.Round.Force.place, "force: expected none for the first round, which follows none")
		}
	}
	for _, step := range k.Steps {
		c.step(step)
	}
	if len(k.Timeline) == 0 {
		c.fault(place{}, "timeline: expected a list of actions and expectations, found none")
	}
	expected := 0
	for _, entry := range k.Timeline {
		c.entry(entry)
		if entry.Expect != nil {
			expected++
		}
	}
	if len(k.Timeline) > 0 && expected == 0 {
		c.fault(place{}, "timeline: expected at least one `expect`, found none: it could not fail")
	}
}

// mostMembers bounds what is started on this host.
const mostMembers = 100

func (c *checker) members(l list) {
	if len(l.items) == 1 {
		if n, err := strconv.Atoi(l.items[0].s); err == nil {
			if n < 1 || n > mostMembers {
				c.fault(l.place, "members: expected 1 to %d, found %d", mostMembers, n)
				return
			}
			for i := range n {
				c.s.Members = append(c.s.Members, fmt.Sprintf("node-%02d", i+1))
			}
			return
		}
	}
	if len(l.items) < 1 || len(l.items) > mostMembers {
		c.fault(l.place, "members: expected a number, or a list of 1 to %d names, found %d names", mostMembers, len(l.items))
	}
	for _, m := range l.items {
		if !objectName.MatchString(m.s) || m.s == allMembers {
			c.fault(m.place, "members: expected %s, and not `all`, found %q", objectForm, m.s)
		} else if slices.Contains(c.s.Members, m.s) {
			c.fault(m.place, "members: expected each name once, found %q twice", m.s)
		}
		c.s.Members = append(c.s.Members, m.s)
	}
}

func (c *checker) workflows(l list) {
	for _, w := range l.items {
		if !objectName.MatchString(w.s) || slices.Contains(c.s.Workflows, w.s) {
			c.fault(w.place, "workflows: expected names of %s, each once, found %q", objectForm, w.s)
		}
		c.s.Workflows = append(c.s.Workflows, w.s)
	}
}

// duration reads one above 0; fallback is what it is if it is not given.
func (c *checker) duration(key string, t text, fallback time.Duration) time.Duration {
	if !t.given() {
		return fallback
	}
	d, err := time.ParseDuration(t.s)
	if err != nil || d <= 0 || d > time.Hour {
		c.fault(t.place, "%s: expected a duration above 0 and up to 1h, such as 500ms or 30s, found %q", key, t.s)
	}
	return d
}

// number reads one of at least 0; fallback is what it is if it is not given.
func (c *checker) number(key string, t text, fallback int) int {
	if !t.given() {
		return fallback
	}
	n, err := strconv.Atoi(t.s)
	if err != nil || n < 0 || n > 1000000 {
		c.fault(t.place, "%s: expected a number of 0 or more, found %q", key, t.s)
	}
	return n
}

func (c *checker) truth(key string, t text) bool {
	if t.given() && t.s != "true" && t.s != "false" {
		c.fault(t.place, "%s: expected true or false, found %q", key, t.s)
	}
	return t.s == "true"
}

var (
	placeOf = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)
	unknown = regexp.MustCompile(`^field (.*) not found in type (\S+)$`)
	twice   = regexp.MustCompile(`^(?:field|key) "?(.*?)"? already set in (?:type \S+|map)$`)
	wrong   = regexp.MustCompile("^cannot unmarshal (\\S+)(?: (`.*`))? into (\\S+)$")
)

// unreadable says in our words what the decoder does not like.
func unreadable(file string, err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: expected a scenario, found nothing but comments", file)
	}
	texts := []string{err.Error()}
	if types, ok := errors.AsType[*yaml.TypeError](err); ok {
		texts = types.Errors
	}
	var faults []error
	for _, text := range texts {
		where := file
		if m := placeOf.FindStringSubmatch(text); m != nil {
			where, text = file+":"+m[1], m[2]
		}
		if m := unknown.FindStringSubmatch(text); m != nil {
			text = fmt.Sprintf("unknown key %q; known here are %s", m[1], known(keysOf[m[2]]))
		} else if m := twice.FindStringSubmatch(text); m != nil {
			text = fmt.Sprintf("key %q is there twice", m[1])
		} else if m := wrong.FindStringSubmatch(text); m != nil {
			text = fmt.Sprintf("expected %s, found %s", kind(m[3]), strings.TrimSpace(m[2]+" "+kind(m[1])))
		} else {
			text = "expected `key: value` lines in YAML: " + strings.TrimPrefix(text, "yaml: ")
		}
		faults = append(faults, fmt.Errorf("%s: %s", where, text))
	}
	return errors.Join(faults...)
}

// kind says in our words what the decoder calls a value.
func kind(of string) string {
	switch {
	case of == "!!seq" || strings.HasPrefix(of, "[]"):
		return "a list"
	case of == "!!map" || strings.HasPrefix(of, "map["):
		return "a map, as `key: value` lines"
	case keysOf[of] != nil:
		return "a map with the keys " + known(keysOf[of])
	case of == "string" || of == "!!str":
		return "a text"
	}
	return "a single value"
}
