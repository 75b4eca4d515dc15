package endpoint

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	"gitlab.com/rackn/provision/v4/models"
)

// credential returns what a request authenticates itself with: the Authorization
// header or, without one, the URL's option token, in which a colon means basic.
// Documents for DRP 4 write Token.
func (s *Server) credential(r *http.Request) (scheme, value string) {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, value, _ = strings.Cut(header, " ")
		return strings.ToLower(scheme), strings.TrimSpace(value)
	}
	query := r.URL.Query()
	value = query.Get("token")
	if value == "" && !s.store.compat313 {
		value = query.Get("Token")
	}
	switch {
	case value == "":
		return "", ""
	case strings.Contains(value, ":"):
		return "basic", base64.StdEncoding.EncodeToString([]byte(value))
	}
	return "bearer", value
}

// authenticate finds out who sent a request. Refusals never repeat what was sent.
func (s *Server) authenticate(r *http.Request) (p *principal, err error) {
	scheme, credential := s.credential(r)
	var g grant
	switch scheme {
	case "basic":
		pair, err := base64.StdEncoding.DecodeString(credential)
		user, password, ok := strings.Cut(string(pair), ":")
		if err != nil || !ok {
			return nil, unauthorized()
		}
		err = s.store.view(func(t *tx) error {
			p, err = s.login(t, user, password)
			return err
		})
		return p, err
	case "bearer":
		var ok bool
		if g, ok = s.tokens.open(credential); !ok || s.faults.ended(g) {
			return nil, &models.Error{Model: "system", Code: http.StatusForbidden, Messages: []string{"Invalid Token"}}
		}
	default:
		return nil, unauthorized()
	}
	err = s.store.view(func(t *tx) error {
		p, err = t.redeem(g)
		return err
	})
	return p, err
}

func unauthorized() *models.Error {
	return models.NewError("", http.StatusUnauthorized, "Authentication required")
}

// redeem checks that a grant was not revoked and returns its holder. As on DRP,
// deleting a machine leaves its tokens alone until they expire.
func (t *tx) redeem(g grant) (*principal, error) {
	revoked := &models.Error{Type: "AUTH", Code: http.StatusForbidden, Messages: []string{"Validation failed"}}
	if g.User != "" {
		rec := t.record("users", g.User)
		if rec == nil || rec.head.(*models.User).Secret != g.Secret {
			return nil, revoked
		}
		return t.user(rec.head.(*models.User), g.Roles), nil
	}
	rec := t.record("machines", g.Machine)
	if rec != nil && rec.head.(*models.Machine).Secret != g.Secret {
		return nil, revoked
	}
	if g.Job != "" && !t.jobPending(g.Job) {
		return nil, revoked
	}
	return &principal{name: "runner:" + g.Machine, claims: g.Claims}, nil
}

// user returns the principal of a user. If only is not empty, other roles of the
// user do not count.
func (t *tx) user(u *models.User, only []string) *principal {
	p := &principal{name: "user:" + u.Name, roles: only, claims: []claim{
		{"users", "token,password,get", u.Name},
		{"info", "get", "*"},
	}}
	for _, name := range u.Roles {
		rec := t.record("roles", name)
		if rec == nil || len(only) > 0 && !slices.Contains(only, name) {
			continue
		}
		for _, c := range rec.head.(*models.Role).Claims {
			p.claims = append(p.claims, claim{c.Scope, c.Action, c.Specific})
		}
	}
	return p
}
