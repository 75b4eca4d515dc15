package endpoint

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"gitlab.com/rackn/provision/v4/models"
)

// The user that every fresh DRP endpoint has.
const (
	DefaultUser     = "rocketskates"
	DefaultPassword = "r0cketsk8ts"
)

const defaultTokenLife = time.Hour

// hashPassword is quick enough for one check a request. It is as strong as that
// allows: who has the data file has the pepper too, and can try passwords fast.
func (s *Server) hashPassword(user, password string) []byte {
	mac := hmac.New(sha256.New, s.pepper)
	mac.Write([]byte(user + "\x00" + password))
	return mac.Sum(nil)
}

// login checks a user's password.
func (s *Server) login(t *tx, user, password string) (*principal, error) {
	hash := s.hashPassword(user, password)
	if rec := t.record("users", user); rec != nil {
		if u := rec.head.(*models.User); hmac.Equal(hash, u.PasswordHash) {
			return t.user(u, nil), nil
		}
	}
	return nil, &models.Error{Model: "users", Key: user, Code: http.StatusForbidden, Messages: []string{"Access Denied"}}
}

// setPassword changes a user's password, which revokes the user's tokens.
func (s *Server) setPassword(t *tx, user, password string) (*record, error) {
	m, ok := t.get("users", user)
	if !ok {
		return nil, notFound("users", user)
	}
	u := m.(*models.User)
	u.PasswordHash = s.hashPassword(user, password)
	u.Secret = rand.Text()
	raw, err := json.Marshal(u)
	if err != nil {
		return nil, err
	}
	t.passwords = true
	defer func() { t.passwords = false }()
	return t.putRaw("users", raw)
}

// putPassword answers PUT /users/{key}/password.
func (s *Server) putPassword(w http.ResponseWriter, r *http.Request, p *principal) error {
	user := r.PathValue("key")
	if err := authorize(p, "users", "password", user); err != nil {
		return err
	}
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	var wanted models.UserPassword
	if json.Unmarshal(body, &wanted) != nil || wanted.Password == "" {
		return badRequest("A password is needed")
	}
	var rec *record
	err = s.store.update(p.name, func(t *tx) error {
		rec, err = s.setPassword(t, user, wanted.Password)
		return err
	})
	if err != nil {
		return err
	}
	return s.writeRecord(w, http.StatusOK, rec)
}

// getUserToken answers GET /users/{key}/token.
func (s *Server) getUserToken(w http.ResponseWriter, r *http.Request, p *principal) error {
	user := r.PathValue("key")
	if err := authorize(p, "users", "token", user); err != nil {
		return err
	}
	roles := p.roles // a limited token must not beget an unlimited one
	if v := r.URL.Query().Get("roles"); v != "" {
		roles = split(v)
		for _, role := range roles {
			if len(p.roles) > 0 && !slices.Contains(p.roles, role) {
				return &models.Error{
					Model: "users", Key: user, Type: "AUTH", Code: http.StatusForbidden,
					Messages: []string{"This token is not for the role " + role},
				}
			}
		}
	}
	return s.writeToken(w, r, func(t *tx, ttl time.Duration) (string, error) {
		return s.userToken(t, user, roles, ttl)
	})
}

// getMachineToken answers GET /machines/{key}/token, which 3.13 does not have.
func (s *Server) getMachineToken(w http.ResponseWriter, r *http.Request, p *principal) error {
	key := r.PathValue("key")
	return s.writeToken(w, r, func(t *tx, ttl time.Duration) (string, error) {
		rec := t.find("machines", key)
		if rec == nil {
			if err := authorize(p, "machines", "token", key); err != nil {
				return "", err
			}
			return "", notFound("machines", key)
		}
		if err := authorize(p, "machines", "token", rec.key); err != nil {
			return "", err
		}
		return s.machineToken(t, rec.key, max(ttl, time.Second))
	})
}

// writeToken answers with the token that mint makes for the requested life.
func (s *Server) writeToken(w http.ResponseWriter, r *http.Request, mint func(*tx, time.Duration) (string, error)) error {
	ttl, err := s.tokenLife(r.URL.Query().Get("ttl"))
	if err != nil {
		return err
	}
	res := models.UserToken{Info: *s.info()}
	err = s.store.view(func(t *tx) error {
		res.Token, err = mint(t, ttl)
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, res)
}

// tokenLife reads a ttl: seconds, or on 4.x also a number with a unit from
// seconds to years.
func (s *Server) tokenLife(v string) (time.Duration, error) {
	if v == "" {
		return defaultTokenLife, nil
	}
	unit := time.Second
	if n := len(v) - 1; !s.store.compat313 {
		const day = 24 * time.Hour
		units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': day, 'w': 7 * day, 'y': 365 * day}
		if u, ok := units[v[n]]; ok {
			unit, v = u, v[:n]
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
	const most = 100 * 365 * 24 * time.Hour
	if err != nil || n > int64(most/unit) || n < -int64(most/unit) {
		return 0, badRequest("Invalid ttl")
	}
	return time.Duration(n) * unit, nil
}
