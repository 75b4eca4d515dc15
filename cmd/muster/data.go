package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"muster/agent"
	"muster/profile"
)

// whoWrites is said by every command that changes a param.
const whoWrites = "On a member's host it is the member that writes; on any other, an operator, with RS_TOKEN or RS_KEY. Params of\n" +
	"Muster itself are refused: their own commands write them."

// editing is what the flags of a command ask for that changes a param.
type editing struct {
	ref, fenced string
	str         bool
}

func (e *editing) stringFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&e.str, "string", false, "take what is given as a string, also if it looks like JSON")
}

func (e *editing) fencedFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&e.fenced, "fenced", "", "role under whose tenure KEY is changed")
}

// edited is what a command prints that changes a param.
type edited struct {
	Key    string `json:"key"`
	Set    bool   `json:"set"`    // it is set now
	Sealed bool   `json:"sealed"` // its value was sealed
}

// edit carries an edit out with the value that word means; an unset has none.
func (a *app) edit(cmd *cobra.Command, asks editing, e profile.Edit, word string) error {
	s := agent.Setting{Edit: e}
	var err error
	if cmd.Name() != "unset" {
		if s.Value, s.InArgs, err = given(cmd.InOrStdin(), word, asks.str); err != nil {
			return fmt.Errorf("%w: value of %s: %w", errUsage, e.Key, err)
		}
	}
	if cmd.Flags().Changed("ref") {
		if s.Ref, err = valueOf(asks.ref, asks.str); err != nil {
			return fmt.Errorf("%w: --ref: %w", errUsage, err)
		}
	}
	if cmd.Flags().Changed("fenced") {
		t, err := a.tenure(asks.fenced)
		if err != nil {
			return err
		}
		s.Tenure = &t
	}
	if err := s.Check(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), commandTimeout)
	defer cancel()
	sealed, err := a.send(ctx, s)
	if err != nil || a.dryRun {
		return err
	}
	result := edited{Key: s.Key, Set: s.Value != nil, Sealed: sealed}
	return a.print(result, func(w io.Writer) {
		switch {
		case !result.Set:
			fmt.Fprintf(w, "%s is not set any more\n", result.Key)
		case result.Sealed:
			fmt.Fprintf(w, "%s is set, sealed\n", result.Key)
		default:
			fmt.Fprintf(w, "%s is set\n", result.Key)
		}
	})
}

// send has this host's member make a change, or, where there is none, an
// operator.
func (a *app) send(ctx context.Context, s agent.Setting) (sealed bool, err error) {
	if _, err := agent.Dial(a.cfg.Socket); errors.Is(err, agent.ErrNoAgent) && !a.isMember() {
		return a.sendAsOperator(ctx, s)
	}
	err = a.local(ctx, 0, func(ctx context.Context, l agent.Local) error {
		if a.dryRun {
			return a.preview(ctx, l, agent.Intent{Set: &s})
		}
		sealed, err = l.Set(ctx, s)
		return err
	})
	return sealed, err
}

func (a *app) sendAsOperator(ctx context.Context, s agent.Setting) (sealed bool, err error) {
	if _, err := a.operator(); err != nil {
		return false, a.noMember(err)
	}
	store, _, err := a.open(ctx)
	if err != nil {
		return false, err
	}
	edit, sealed, err := s.Ready(ctx, store)
	if err != nil {
		return sealed, err
	}
	_, err = a.write(ctx, store, edit.Plan)
	return sealed, err
}

// given is the value that a word of the command line means; inArgs unless it is
// read from stdin. What is read loses one line feed at its end.
func given(stdin io.Reader, word string, str bool) (raw json.RawMessage, inArgs bool, err error) {
	if inArgs = word != "-"; !inArgs {
		text, err := io.ReadAll(io.LimitReader(stdin, profile.MostValue+2)) // and the line feed
		if err == nil && len(text) > profile.MostValue+1 {
			err = fmt.Errorf("expected at most %d bytes on standard input, found more", profile.MostValue)
		}
		if err != nil {
			return nil, false, err
		}
		word = strings.TrimSuffix(string(text), "\n")
	}
	raw, err = valueOf(word, str)
	return raw, inArgs, err
}

// valueOf is what is given as JSON or else as a string, or, with str, as a string
// in any case. What begins as JSON does, and is none, was not meant as a string.
func valueOf(word string, str bool) (json.RawMessage, error) {
	switch {
	case !utf8.ValidString(word):
		return nil, errors.New("expected UTF-8; encode other bytes, as with base64")
	case str:
		return json.Marshal(word)
	case strings.ContainsAny(word[:min(1, len(word))], `{["`) && !json.Valid([]byte(word)):
		return nil, errors.New("it begins as JSON does, and is none, or is nested too deep; with --string it is taken as a string")
	}
	return profile.ParseValue(word), nil
}
