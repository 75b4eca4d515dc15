package drp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"gitlab.com/rackn/provision/v4/models"

	"muster/profile"
)

// Secure implements profile.Sealer: one GET of the param's declaration, which
// profile tokens may make (wire contract, section 8).
func (s *Store) Secure(ctx context.Context, key string) (bool, error) {
	var declared struct {
		Name   string
		Secure bool
	}
	_, err := s.client.do(ctx, request{
		method: http.MethodGet,
		path:   append([]string{"params"}, strings.Split(key, "/")...),
		auth:   s.auth,
	}, &declared)
	switch {
	case errors.Is(err, profile.ErrNotFound):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("is param %s secure? %w", key, err)
	case declared.Name != key:
		return false, fmt.Errorf("is param %s secure? %w: the answer is about another param", key, profile.ErrUnavailable)
	}
	return declared.Secure, nil
}

// Seal implements profile.Sealer: one GET of the profile's public key.
func (s *Store) Seal(ctx context.Context, value json.RawMessage) (json.RawMessage, error) {
	var public []byte
	_, err := s.client.do(ctx, request{method: http.MethodGet, path: []string{"profiles", s.name, "pubkey"}, auth: s.auth}, &public)
	if err != nil {
		return nil, err
	}
	var sealed models.SecureData
	if err := sealed.Marshal(public, value); err != nil {
		return nil, fmt.Errorf("%w: the public key of profile %q is of no use", profile.ErrUnavailable, s.name)
	}
	return json.Marshal(sealed)
}

// ReadOpened implements profile.Sealer: one GET of the params route.
func (s *Store) ReadOpened(ctx context.Context, key string) (json.RawMessage, error) {
	var found profile.Params
	_, err := s.client.do(ctx, request{
		method: http.MethodGet,
		path:   []string{"profiles", s.name, "params"},
		query:  url.Values{"params": {key}, "decode": {"true"}},
		auth:   s.auth,
	}, &found)
	return found[key], err
}
