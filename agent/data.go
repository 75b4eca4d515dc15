package agent

import (
	"context"
	"encoding/json"
	"fmt"

	"muster/profile"
)

// Setting is a change of one param of the cluster's own data.
type Setting struct {
	profile.Edit
	// InArgs says that the value was on a command line, where everybody on the
	// host can read it: no place for a secure one.
	InArgs bool `json:"in_args,omitempty"`
}

// Set implements Local.
func (a *Agent) Set(ctx context.Context, s Setting) (sealed bool, err error) {
	edit, sealed, err := s.Ready(ctx, a.cfg.Store)
	if err != nil {
		return sealed, err
	}
	// The edit is decided on what the param holds now, and not on what this
	// member happens to know of it.
	if err := a.view.Refresh(ctx, a.cfg.Store, s.Key); err != nil {
		return sealed, err
	}
	_, err = a.member.Write(ctx, edit.Plan)
	return sealed, a.written(err)
}

// Get returns the value of one param, as profile.Get does.
func (a *Agent) Get(ctx context.Context, key string, decode bool) (json.RawMessage, error) {
	return profile.Get(ctx, a.cfg.Store, key, decode)
}

// Ready returns the edit as it may be sent by whoever store belongs to, and
// whether its value is sealed.
func (s Setting) Ready(ctx context.Context, store profile.Store) (profile.Edit, bool, error) {
	if err := s.Check(); err != nil {
		return s.Edit, false, err
	}
	edit, sealed, err := s.Sealed(ctx, store)
	if err == nil && sealed && s.InArgs {
		err = fmt.Errorf("%w: %s is a secure param: give its value on standard input, as in `muster set %s -`; on a command line everybody on this host can read it", ErrUsage, s.Key, s.Key)
	}
	return edit, sealed, err
}
