package endpoint

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"gitlab.com/rackn/provision/v4/models"
	"golang.org/x/crypto/nacl/box"

	"muster/endpoint/rawjson"
)

// keyPair is what the secure params of one object are sealed with. The private
// half never leaves the server.
type keyPair struct{ public, private *[32]byte }

func newKeyPair() (*keyPair, error) {
	public, private, err := box.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("endpoint: make key pair: %w", err)
	}
	return &keyPair{public, private}, nil
}

var (
	errNotSealed = errors.New("the value of a secure param must be sealed")
	errNotForUs  = errors.New("the value was not sealed for this object")
)

// open returns the value in a sealed one. Its errors tell nothing of the value.
func (k *keyPair) open(sealed []byte) ([]byte, error) {
	var data models.SecureData
	if json.Unmarshal(sealed, &data) != nil || data.IsExternallyStored() || data.Validate() != nil {
		return nil, errNotSealed
	}
	value, err := data.Open(k.private)
	if err != nil || !json.Valid(value) {
		return nil, errNotForUs
	}
	return value, nil
}

// secure reports whether a param is declared so.
func (t *tx) secure(name string) bool {
	decl := t.record("params", name)
	return decl != nil && decl.head.(*models.Param).Secure
}

// sealParams seals the secure params of an object that came in plain text, which
// DRP 4 does for its clients (the feature auto-secure-params) and 3.13 refuses.
func (t *tx) sealParams(rec *record) error {
	if t.s.compat313 || rec.keys == nil {
		return nil
	}
	sealed := map[string][]byte{}
	err := rawjson.Each(rec.params, func(name string, value []byte) {
		if !t.secure(name) || looksSealed(value) {
			return
		}
		var data models.SecureData
		if data.Marshal(rec.keys.public[:], json.RawMessage(value)) == nil {
			sealed[name], _ = json.Marshal(data) // bytes always marshal
		}
	})
	if err != nil || len(sealed) == 0 {
		return err
	}
	rec.params, err = rawjson.With(rec.params, sealed)
	return err
}

// looksSealed reports whether a value has the shape of a sealed one, so that one
// for another object is refused and not sealed again.
func looksSealed(value []byte) bool {
	return rawjson.Lookup(value, "Payload") != nil && rawjson.Lookup(value, "Nonce") != nil || rawjson.Lookup(value, "LookupUri") != nil
}

// plain returns the value of an object's param, opened if it is a secure one.
// What was stored before its param was declared secure is returned as it is.
func (t *tx) plain(rec *record, name string, value []byte) []byte {
	if !t.secure(name) || rec.keys == nil {
		return value
	}
	if opened, err := rec.keys.open(value); err == nil {
		return opened
	}
	return value
}

// getPubkey answers GET .../pubkey with the key that values are sealed for.
func (s *Server) getPubkey(prefix string) handler {
	return func(w http.ResponseWriter, r *http.Request, p *principal) error {
		var rec *record
		err := s.store.view(func(t *tx) (err error) {
			rec, err = t.writable(p, prefix, r.PathValue("key"), "updateSecure")
			return err
		})
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, rec.keys.public[:])
	}
}
