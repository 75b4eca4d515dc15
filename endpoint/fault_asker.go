package endpoint

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"
)

// asker is what faults know of a request.
type asker struct {
	method, path string // below /api/v3
	grant        grant  // empty if the request names nobody
}

// askerOf reads a request; ok is false for what is not below /api/v3.
func (s *Server) askerOf(r *http.Request) (from asker, ok bool) {
	from.method = r.Method
	if from.path, ok = strings.CutPrefix(r.URL.Path, apiPath); !ok {
		return from, false
	}
	switch scheme, credential := s.credential(r); scheme {
	case "basic":
		pair, _ := base64.StdEncoding.DecodeString(credential)
		from.grant.User, _, _ = strings.Cut(string(pair), ":")
	case "bearer":
		from.grant, _ = s.tokens.open(credential)
	}
	return from, true
}

// principalSpec is user:NAME, machine:UUID, machine:NAME, profile:NAME or,
// empty, everybody.
type principalSpec struct{ kind, name string }

func parsePrincipal(text string) (principalSpec, error) {
	if text == "" {
		return principalSpec{}, nil
	}
	kind, name, _ := strings.Cut(text, ":")
	if name == "" || kind != "user" && kind != "machine" && kind != "profile" {
		return principalSpec{}, fmt.Errorf("%w: principal: expected user:NAME, machine:NAME, machine:UUID or profile:NAME, found %q", ErrFault, text)
	}
	return principalSpec{kind, name}, nil
}

func (p principalSpec) matches(s *Server, g grant) bool {
	if p.kind == "machine" && g.Machine != "" {
		p.name = s.machineKey(p.name)
	}
	return p.names(g)
}

// names says whether a grant is the principal's, whose machine is named by its UUID.
func (p principalSpec) names(g grant) bool {
	switch p.kind {
	case "user":
		return g.User == p.name
	case "profile":
		return g.Profile == p.name
	case "machine":
		return g.Machine == p.name
	}
	return true
}

// key is what the principal is called in grants. It returns ErrFault if there is
// no such user, machine or profile. A deleted machine, whose tokens are still
// good, can be named by its UUID.
func (p principalSpec) key(s *Server) (string, error) {
	key, found := p.name, true
	switch p.kind {
	case "machine":
		key = s.machineKey(p.name)
		found = key != p.name || uuid.Validate(key) == nil
	case "user", "profile":
		_ = s.store.view(func(t *tx) error {
			found = t.record(p.kind+"s", p.name) != nil
			return nil
		})
	}
	if !found {
		return "", fmt.Errorf("%w: there is no %s %q", ErrFault, p.kind, p.name)
	}
	return key, nil
}

// machineKey returns the UUID of the machine with this UUID or name, or else
// what it was given.
func (s *Server) machineKey(name string) string {
	_ = s.store.view(func(t *tx) error {
		for _, key := range []string{name, "Name:" + name} {
			if rec := t.find("machines", key); rec != nil {
				name = rec.key
				break
			}
		}
		return nil
	})
	return name
}
