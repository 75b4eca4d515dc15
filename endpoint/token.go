package endpoint

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"gitlab.com/rackn/provision/v4/models"
)

// What DRP renders into a template in place of a profile token. They are also
// what ProfileToken returns beside an error.
const (
	tokenUnknownMachine = "UnknownMachineTokenNotAllowed"
	tokenNoProfile      = "InvalidTokenNotAllowedNoProfile"
	tokenNotOnMachine   = "InvalidTokenNotAllowedNotOnMachine"
)

const (
	machineTokenLife = 1092 * 24 * time.Hour
	profileTokenLife = 2_000_000_000 * time.Second
)

// ErrTokenNotAllowed is returned by ProfileToken and MachineToken when DRP would
// not make the token: no such machine or profile, or the machine does not carry
// the profile directly. Create or attach it first.
var ErrTokenNotAllowed = errors.New("endpoint: token not allowed")

// grant is what a token says. Its powers end when it expires, or when the
// secret of its user or machine is no longer the one that it names.
type grant struct {
	User    string   `json:",omitempty"`
	Roles   []string `json:",omitempty"` // if any, only these of the user's roles count
	Machine string   `json:",omitempty"`
	Job     string   `json:",omitempty"` // if any, the powers end with this job
	Profile string   `json:",omitempty"` // of a profile token
	Secret  string
	Claims  []claim `json:",omitempty"` // of a machine; a user's come from the roles
	Expires int64   // Unix seconds; the token is good until the end of that second
	Made    int64   // when it was sealed, as a stamp
}

// sealer turns grants into tokens that only this endpoint can read.
type sealer struct{ aead cipher.AEAD }

// newSealer makes a sealer with a key of 32 bytes.
func newSealer(key []byte) (sealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, fmt.Errorf("endpoint: token key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return sealer{aead}, err
}

func (s sealer) seal(g grant) (string, error) {
	g.Made = stamp()
	raw, err := json.Marshal(g)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, raw, nil)), nil
}

// open reads a token; ok is false if it is malformed or has expired.
func (s sealer) open(token string) (g grant, ok bool) {
	sealed, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || base64.RawURLEncoding.EncodeToString(sealed) != token {
		return g, false // not what seal wrote: Go ignores line breaks and surplus bits
	}
	raw, err := s.aead.Open(nil, nil, sealed, nil)
	if err != nil || json.Unmarshal(raw, &g) != nil {
		return g, false
	}
	return g, time.Now().Unix() <= g.Expires
}

// expiry is the moment ttl from now.
func expiry(ttl time.Duration) int64 { return time.Now().Add(ttl).Unix() }

// machineClaims is what GenerateInfiniteToken of DRP grants to a machine.
func machineClaims(uuid string) []claim {
	return []claim{
		{"machines", "get,actions,update,patch,action,getSecure,updateSecure", uuid},
		{"params,stages,tasks,bootenvs,isos,files", "get", "*"},
		{"info", "get", "*"},
		{"jobs", "create,get,update,actions,log", uuid},
		{"events", "post", "*"},
	}
}

// profileClaims is what GenerateProfileToken of DRP grants.
func profileClaims(name string) []claim {
	return []claim{
		{"profiles", "get,getSecure,update,updateSecure", name},
		{"params", "get", "*"},
	}
}

// UserToken makes a token with the powers of a user. It returns an error if the
// user does not exist. With ttl 0 it is good for the current second only.
func (s *Server) UserToken(user string, ttl time.Duration) (token string, err error) {
	err = s.store.view(func(t *tx) error {
		token, err = s.userToken(t, user, nil, ttl)
		return err
	})
	return token, err
}

func (s *Server) userToken(t *tx, user string, roles []string, ttl time.Duration) (string, error) {
	rec := t.record("users", user)
	if rec == nil {
		return "", notFound("users", user)
	}
	return s.tokens.seal(grant{User: user, Roles: roles, Secret: rec.head.(*models.User).Secret, Expires: expiry(ttl)})
}

// MachineToken makes a token for one machine, as a rendered task gets it. With
// ttl 0 it lives three years. It returns ErrTokenNotAllowed if there is no such
// machine.
func (s *Server) MachineToken(uuid string, ttl time.Duration) (token string, err error) {
	err = s.store.view(func(t *tx) error {
		token, err = s.machineToken(t, uuid, ttl)
		return err
	})
	return token, err
}

func (s *Server) machineToken(t *tx, uuid string, ttl time.Duration) (string, error) {
	rec := t.find("machines", uuid)
	if rec == nil {
		return tokenUnknownMachine, fmt.Errorf("%w: no machine %q", ErrTokenNotAllowed, uuid)
	}
	if ttl <= 0 {
		ttl = machineTokenLife
	}
	claims := machineClaims(rec.key)
	if !s.store.compat313 {
		claims = append(claims, claim{"machines", "token", rec.key}) // to renew itself
	}
	secret := rec.head.(*models.Machine).Secret
	return s.tokens.seal(grant{Machine: rec.key, Secret: secret, Claims: claims, Expires: expiry(ttl)})
}

// ProfileToken makes a token for one profile on behalf of a machine that carries
// it directly, as GenerateProfileToken does in a template. With ttl 0 or less it
// lives 63 years. If DRP would render a literal such as
// InvalidTokenNotAllowedNotOnMachine instead of a token, that literal is returned
// together with ErrTokenNotAllowed.
func (s *Server) ProfileToken(machineUUID, profile string, ttl time.Duration) (token string, err error) {
	err = s.store.view(func(t *tx) error {
		token, err = s.profileToken(t, machineUUID, profile, ttl)
		return err
	})
	return token, err
}

func (s *Server) profileToken(t *tx, machineUUID, profile string, ttl time.Duration) (string, error) {
	rec := t.find("machines", machineUUID)
	if rec == nil {
		return tokenUnknownMachine, fmt.Errorf("%w: no machine %q", ErrTokenNotAllowed, machineUUID)
	}
	m := rec.head.(*models.Machine)
	switch {
	case t.record("profiles", profile) == nil:
		return tokenNoProfile, fmt.Errorf("%w: no profile %q", ErrTokenNotAllowed, profile)
	case !slices.Contains(m.Profiles, profile):
		return tokenNotOnMachine, fmt.Errorf("%w: machine %s does not carry profile %q", ErrTokenNotAllowed, m.Name, profile)
	}
	if ttl <= 0 {
		ttl = profileTokenLife
	}
	return s.tokens.seal(grant{Machine: rec.key, Profile: profile, Secret: m.Secret, Claims: profileClaims(profile), Expires: expiry(ttl)})
}
