package endpoint

import (
	"encoding/json"
	"errors"
	"net/http"

	"gitlab.com/rackn/provision/v4/models"
)

// patchObject answers PATCH of an object with the complete patched object. The
// whole patch, tests included, is evaluated under the store's lock.
func (s *Server) patchObject(prefix string) handler {
	return func(w http.ResponseWriter, r *http.Request, p *principal) error {
		key := r.PathValue("key")
		body, err := readBody(w, r)
		if err != nil {
			return err
		}
		force, err := flag(r.URL.Query(), "force")
		if err != nil {
			return err
		}
		ops, badPatch := parsePatch(body)
		var rec *record
		err = s.store.update(p.name, func(t *tx) error {
			t.force = force
			old, err := t.writable(p, prefix, key, ops.claims("")...)
			if err == nil {
				err = old.patchable(p, badPatch, (*opError).onObject)
			}
			if err == nil {
				rec, err = t.patch(old, ops)
			}
			return err
		})
		if err != nil {
			return err
		}
		return s.writeRecord(w, http.StatusOK, rec)
	}
}

// patchable returns an error unless p may see the object, whose patch was parsed
// with the error badPatch. The tests of a patch tell what the object holds, so
// that a patch needs get as well as update.
func (r *record) patchable(p *principal, badPatch error, conflict func(e *opError, prefix, key string) *models.Error) error {
	prefix := r.head.Prefix()
	if !p.can(prefix, "get", r.authKey()) {
		return notFound(prefix, r.key)
	}
	if bad, ok := errors.AsType[*opError](badPatch); ok {
		return conflict(bad, prefix, r.key)
	}
	return badPatch
}

// patch applies ops to an object and stages the result. A patch that only tests
// leaves the object as it is.
func (t *tx) patch(old *record, ops patch) (*record, error) {
	prefix := old.head.Prefix()
	patched, err := ops.apply(old.shown)
	if err != nil {
		if bad, ok := errors.AsType[*opError](err); ok {
			return nil, bad.onObject(prefix, old.key)
		}
		return nil, err
	}
	if !ops.changes() {
		return old, nil
	}
	head, _, err := decode(prefix, patched)
	if err != nil {
		return nil, &models.Error{
			Model: prefix, Key: old.key, Type: http.MethodPatch, Code: http.StatusNotAcceptable,
			Messages: []string{"Patched object does not fit its type: " + err.Error()},
		}
	}
	if head.Key() != old.key {
		return nil, &models.Error{
			Model: prefix, Key: old.key, Type: http.MethodPatch, Code: http.StatusBadRequest,
			Messages: []string{"Key change not allowed"},
		}
	}
	return t.replace(old, patched)
}

// replace stages raw, which came from a client, in place of old.
func (t *tx) replace(old *record, raw json.RawMessage) (*record, error) {
	raw, err := t.s.restore(old, raw)
	if err != nil {
		return nil, err
	}
	return t.putRaw(old.head.Prefix(), raw)
}
