package main

import (
	"context"
	"errors"
	"fmt"

	"muster/profile"
	"muster/profile/drp"
)

// guarded refuses values of secure params that are in the arguments, where others
// of this host see them, and a secret that every reader of the profile would see
// sealed, as its param is not declared secure.
func (s *sowing) guarded(ctx context.Context) error {
	for _, key := range sortedKeys(s.seed.Others) {
		secure, err := s.store.Secure(ctx, key)
		if err != nil {
			return err
		}
		if secure {
			return fmt.Errorf("%w: --param %s: the param is declared secure; give its value on stdin, with --secret %s=-", errUsage, key, key)
		}
	}
	if s.secret.Key == "" {
		return nil
	}
	secure, err := s.store.Secure(ctx, s.secret.Key)
	if err == nil && !secure {
		err = fmt.Errorf("%w: --secret %s: no secure param of this name is declared, or these credentials do not see it; declare it first, or give the value by --param", profile.ErrInvalid, s.secret.Key)
	}
	return err
}

// seal plants the secure param, if it is absent. It is sealed for the profile, so
// that has to be there.
func (s *sowing) seal(ctx context.Context, d *profile.Document) (*profile.Document, error) {
	key := s.secret.Key
	if _, there := d.Params[key]; there || key == "" {
		return d, nil
	}
	sealed, _, err := s.secret.Sealed(ctx, s.store)
	if s.dryRun && errors.Is(err, profile.ErrNotFound) {
		s.notice("param %s would be sealed and planted once the profile is there", key)
		return d, nil
	}
	if err != nil {
		return nil, err
	}
	s.seed.Others[key] = sealed.Value
	after, err := s.write(ctx, s.seed.Plan)
	if errors.Is(err, drp.ErrDryRun) {
		return d, nil
	}
	return after, err
}
