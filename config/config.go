// Package config turns defaults, the configuration file, the environment and
// flags into one checked struct that knows where each value came from.
//
// Later sources win: defaults, file, environment (RS_ before MUSTER_), flags. Of
// ca_file, fingerprint and insecure the last source that has one wins, whichever it
// is. A key that is not known is an error, and all faults are reported at once. The
// package reads only the one file and the variables that it is given.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v2"
)

// DefaultFile is the configuration file that is read if no other is named.
const DefaultFile = "/etc/muster/muster.yaml"

// DefaultStepsDir is the directory of the agent's steps.
const DefaultStepsDir = "/etc/muster/steps.d"

// Config is what the commands need to know. Empty strings mean "not set".
type Config struct {
	Endpoint         string // URL of the DRP endpoint
	Profile          string // name of the cluster profile
	UUID             string // of this host's DRP machine
	Name             string // of this member, if the machine's cannot be read
	CAFile           string // PEM certificates that may vouch for the endpoint
	Fingerprint      string // SHA-256 of the endpoint's certificate, pinned
	Insecure         bool   // the endpoint is not verified
	ProfileTokenFile string
	MachineTokenFile string
	StateDir         string
	Socket           string
	StepsDir         string // files of the steps that the agent runs
	RootSocket       string // of the helper that runs steps which need more rights
	AllowWorkflows   string // those that the profile may name, separated by commas
	LogLevel         string // trace, debug, info, warn or error

	origins map[string]string
}

// field is one setting: its key in the file and as a flag (with - for _), and
// the environment variables that set it, in order of preference.
type field struct {
	key  string
	env  []string
	text func(*Config) *string
	flag func(*Config) *bool
}

var fields = []field{
	{key: "endpoint", env: []string{"MUSTER_ENDPOINT", "RS_ENDPOINT"}, text: func(c *Config) *string { return &c.Endpoint }},
	{key: "profile", env: []string{"MUSTER_PROFILE"}, text: func(c *Config) *string { return &c.Profile }},
	{key: "uuid", env: []string{"MUSTER_UUID", "RS_UUID"}, text: func(c *Config) *string { return &c.UUID }},
	{key: "name", env: []string{"MUSTER_NAME"}, text: func(c *Config) *string { return &c.Name }},
	{key: "ca_file", env: []string{"MUSTER_CA_FILE", "RS_CA_CERT"}, text: func(c *Config) *string { return &c.CAFile }},
	{key: "fingerprint", env: []string{"MUSTER_FINGERPRINT"}, text: func(c *Config) *string { return &c.Fingerprint }},
	{key: "insecure", env: []string{"MUSTER_INSECURE"}, flag: func(c *Config) *bool { return &c.Insecure }},
	{key: "profile_token_file", env: []string{"MUSTER_PROFILE_TOKEN_FILE"}, text: func(c *Config) *string { return &c.ProfileTokenFile }},
	{key: "machine_token_file", env: []string{"MUSTER_MACHINE_TOKEN_FILE"}, text: func(c *Config) *string { return &c.MachineTokenFile }},
	{key: "state_dir", env: []string{"MUSTER_STATE_DIR"}, text: func(c *Config) *string { return &c.StateDir }},
	{key: "socket", env: []string{"MUSTER_SOCKET"}, text: func(c *Config) *string { return &c.Socket }},
	{key: "steps_dir", env: []string{"MUSTER_STEPS_DIR"}, text: func(c *Config) *string { return &c.StepsDir }},
	{key: "root_socket", env: []string{"MUSTER_ROOT_SOCKET"}, text: func(c *Config) *string { return &c.RootSocket }},
	{key: "allow_workflows", env: []string{"MUSTER_ALLOW_WORKFLOWS"}, text: func(c *Config) *string { return &c.AllowWorkflows }},
	{key: "log_level", env: []string{"MUSTER_LOG_LEVEL"}, text: func(c *Config) *string { return &c.LogLevel }},
}

// Keys returns the known keys of the file.
func Keys() []string {
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	return keys
}

// ErrInvalid is wrapped by every error of this package.
var ErrInvalid = errors.New("config")

// Load reads the configuration. file may be "": then DefaultFile is read if it
// exists. getenv is os.Getenv; flags holds the flags that were given, by key.
func Load(file string, getenv func(string) string, flags map[string]string) (Config, error) {
	c := Config{LogLevel: "info", StateDir: "/var/lib/muster", Socket: "/run/muster/muster.sock", StepsDir: DefaultStepsDir, RootSocket: "/run/muster-root.sock", origins: map[string]string{}}
	var faults []error
	values, err := readFile(file)
	if err != nil {
		faults = append(faults, err)
	}
	named := file
	if named == "" {
		named = DefaultFile
	}
	for _, from := range []source{fromFile(named, values), fromEnv("RS_", getenv), fromEnv("MUSTER_", getenv), fromFlags(flags)} {
		faults = append(faults, c.take(from))
	}
	if c.ProfileTokenFile == "" {
		c.ProfileTokenFile = filepath.Join(c.StateDir, "credentials", "profile.token")
	}
	if c.MachineTokenFile == "" {
		c.MachineTokenFile = filepath.Join(c.StateDir, "credentials", "machine.token")
	}
	if !slices.Contains([]string{"trace", "debug", "info", "warn", "error"}, c.LogLevel) {
		faults = append(faults, fmt.Errorf("log_level (%s): expected trace, debug, info, warn or error, found %q", c.Origin("log_level"), c.LogLevel))
	}
	if strings.ContainsAny(c.AllowWorkflows, "*?[]") {
		faults = append(faults, fmt.Errorf("allow_workflows (%s): expected names, separated by commas, found %q: there are no patterns", c.Origin("allow_workflows"), c.AllowWorkflows))
	}
	if err := errors.Join(faults...); err != nil {
		return c, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return c, nil
}

// Workflows returns the names in AllowWorkflows.
func (c Config) Workflows() []string {
	return strings.FieldsFunc(c.AllowWorkflows, func(r rune) bool { return r == ',' || r == ' ' })
}

// Origin says where the value of key came from.
func (c Config) Origin(key string) string {
	if o := c.origins[key]; o != "" {
		return o
	}
	return "default"
}

// Differ returns the keys whose values are others in c than in other.
func (c Config) Differ(other Config) []string {
	var keys []string
	for _, f := range fields {
		if f.text != nil && *f.text(&c) != *f.text(&other) || f.flag != nil && *f.flag(&c) != *f.flag(&other) {
			keys = append(keys, f.key)
		}
	}
	return keys
}

// Require returns an error that names every one of keys that is not set, and
// how to set it.
func (c Config) Require(keys ...string) error {
	var faults []error
	for _, f := range fields {
		if slices.Contains(keys, f.key) && f.text != nil && *f.text(&c) == "" {
			faults = append(faults, fmt.Errorf("%s is not set: write it into %s, set %s, or give --%s", f.key, DefaultFile, strings.Join(f.env, " or "), strings.ReplaceAll(f.key, "_", "-")))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

func (c *Config) set(f field, value, origin string) error {
	c.origins[f.key] = origin
	if f.text != nil {
		*f.text(c) = value
		return nil
	}
	v, err := strconv.ParseBool(value)
	if err != nil {
		return fmt.Errorf("%s (%s): expected true or false, found %q", f.key, origin, value)
	}
	*f.flag(c) = v
	return nil
}

type setting struct{ value, origin string }

// source is what one place gives, by keys.
type source map[string]setting

func fromFile(name string, values map[string]string) source {
	s := source{}
	for key, v := range values {
		s[key] = setting{v, "file " + name}
	}
	return s
}

// fromEnv takes the variables whose names begin so.
func fromEnv(prefix string, getenv func(string) string) source {
	s := source{}
	for _, f := range fields {
		for _, name := range f.env {
			if !strings.HasPrefix(name, prefix) {
				continue
			}
			if v := getenv(name); v != "" {
				s[f.key] = setting{v, "environment " + name}
			}
		}
	}
	return s
}

func fromFlags(flags map[string]string) source {
	s := source{}
	for key, v := range flags {
		s[key] = setting{v, "flag --" + strings.ReplaceAll(key, "_", "-")}
	}
	return s
}

// vouchers are the keys of which one says what vouches for the endpoint.
var vouchers = []string{"ca_file", "fingerprint", "insecure"}

// take lets a source win over those before: also by one voucher over the others, which
// may be what somebody wants to be rid of.
func (c *Config) take(from source) error {
	var faults []error
	var vouch []string
	for _, f := range fields {
		given, ok := from[f.key]
		if !ok {
			continue
		}
		if err := c.set(f, given.value, given.origin); err != nil {
			faults = append(faults, err)
		}
		if on := f.text != nil && *f.text(c) != "" || f.flag != nil && *f.flag(c); on && slices.Contains(vouchers, f.key) {
			vouch = append(vouch, fmt.Sprintf("%s (%s)", f.key, given.origin))
		}
	}
	if len(vouch) > 1 {
		faults = append(faults, fmt.Errorf("%s contradict one another: remove all but one", strings.Join(vouch, " and ")))
	}
	if len(vouch) > 0 {
		c.displace(from)
	}
	return errors.Join(faults...)
}

// displace takes back the vouchers that this source does not give.
func (c *Config) displace(by source) {
	for _, f := range fields {
		if _, given := by[f.key]; given || !slices.Contains(vouchers, f.key) {
			continue
		}
		delete(c.origins, f.key)
		if f.text != nil {
			*f.text(c) = ""
		} else {
			*f.flag(c) = false
		}
	}
}

// readFile returns the settings of the file as text.
func readFile(name string) (map[string]string, error) {
	explicit := name != ""
	if !explicit {
		name = DefaultFile
	}
	raw, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) && !explicit {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	values := map[string]string{} // as text: a fingerprint of digits is no number
	if err := yaml.UnmarshalStrict(raw, &values); err != nil {
		return nil, fmt.Errorf("%s: expected lines of the form `key: value`: %w", name, err)
	}
	var faults []error
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(Keys(), key) {
			faults = append(faults, fmt.Errorf("%s: unknown key %q; known are %s", name, key, strings.Join(Keys(), ", ")))
		}
	}
	return values, errors.Join(faults...)
}

// File returns the text of a configuration file that says what c does, but for
// defaults and the keys that are left out.
func (c Config) File(without ...string) []byte {
	set := yaml.MapSlice{}
	for _, f := range fields {
		switch {
		case slices.Contains(without, f.key) || c.Origin(f.key) == "default":
		case f.text != nil:
			set = append(set, yaml.MapItem{Key: f.key, Value: *f.text(&c)})
		default:
			set = append(set, yaml.MapItem{Key: f.key, Value: strconv.FormatBool(*f.flag(&c))})
		}
	}
	raw, err := yaml.Marshal(set)
	if err != nil {
		panic(err) // of strings
	}
	return raw
}

// Set gives a key of text the value that it is to have, and says where that is from.
func (c *Config) Set(key, value, origin string) error {
	for _, f := range fields {
		if f.key == key {
			return c.set(f, value, origin)
		}
	}
	return fmt.Errorf("%w: unknown key %q", ErrInvalid, key)
}
