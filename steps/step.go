package steps

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"
)

// ErrInvalid is wrapped by every error of this package.
var ErrInvalid = errors.New("steps")

// Step is one step of a host.
type Step struct {
	Name    string
	After   []string      // gates, as `muster run --after` takes them
	Role    string        // whose members run it; "" is everybody
	Timeout time.Duration // of the waiting; 0 is none
	Limit   time.Duration // of the command; 0 is none
	User    string        // that the command runs as; "" is the agent's
	Command []string
	// File is the name of the file that the step was read from.
	File string
	// ByHelper: this process cannot run anything as User, so the helper of root
	// steps runs the command of File (package rootstep).
	ByHelper bool
	// Workflow is to be started on this machine in the place of a command.
	Workflow string
	// RoleAt is the place of the role, FILE:LINE, for messages.
	RoleAt string
}

var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Planted is how the names of steps begin that the profile plants; the role follows.
const Planted = "workflow-"

// ValidName reports whether a step may have this name: up to 64 letters, digits,
// dots, dashes and underscores.
func ValidName(s string) bool { return name.MatchString(s) }

// Args returns what follows `muster run` for the step to be run.
func (s Step) Args() []string {
	args := []string{"--name=" + s.Name}
	for _, gate := range s.After {
		args = append(args, "--after="+gate)
	}
	if s.Role != "" {
		args = append(args, "--role="+s.Role)
	}
	if s.Timeout > 0 {
		args = append(args, "--timeout="+s.Timeout.String())
	}
	if s.ByHelper {
		return append(args, "--root-step="+s.File)
	}
	if s.Limit > 0 {
		args = append(args, "--limit="+s.Limit.String())
	}
	if s.User != "" {
		args = append(args, "--user="+s.User)
	}
	if s.Workflow != "" {
		return append(args, "--workflow="+s.Workflow)
	}
	return append(append(args, "--"), s.Command...)
}

// Retry returns the line by which somebody who has looked runs the step again.
func (s Step) Retry() string {
	words := append([]string{"muster", "run", "--retry"}, s.Args()...)
	for i, word := range words {
		words[i] = quoted(word)
	}
	return strings.Join(words, " ")
}

// quoted returns word as a shell takes it for one.
func quoted(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_=./:,%+@", r)
	}
	if word != "" && !slices.ContainsFunc([]rune(word), func(r rune) bool { return !plain(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
