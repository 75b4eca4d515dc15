package endpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint/jsonpatch"
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
			old, err := t.writable(p, prefix, key, ops.Claims("")...)
			if err == nil {
				err = old.patchable(p, badPatch, patchConflict)
			}
			if err == nil {
				rec, err = t.patch(old, ops)
			}
			if err == nil {
				err = t.mayHold(p, old, rec)
			}
			return err
		})
		if err != nil {
			return err
		}
		return s.writeRecord(w, http.StatusOK, rec)
	}
}

// parsePatch reads a patch from a body. A body that is none is 400; a patch of which
// an operation can be applied to nothing is a *jsonpatch.OpError.
func parsePatch(body []byte) (jsonpatch.Patch, error) {
	if string(body) == "null" {
		return nil, badRequest("Not a JSON patch: expected an array of operations")
	}
	ops, err := jsonpatch.Parse(body)
	if _, ok := errors.AsType[*jsonpatch.OpError](err); err == nil || ok {
		return ops, err
	}
	return nil, badRequest(err.Error())
}

// patchable returns an error unless p may see the object, whose patch was parsed
// with the error badPatch. The tests of a patch tell what the object holds, so
// that a patch needs get as well as update.
func (r *record) patchable(p *principal, badPatch error, conflict func(e *jsonpatch.OpError, prefix, key string) *models.Error) error {
	prefix := r.head.Prefix()
	if !p.can(prefix, "get", r.authKey()) {
		return notFound(prefix, r.key)
	}
	if bad, ok := errors.AsType[*jsonpatch.OpError](badPatch); ok {
		return conflict(bad, prefix, r.key)
	}
	return badPatch
}

// patch applies ops to an object and stages the result. A patch that only tests
// leaves the object as it is.
func (t *tx) patch(old *record, ops jsonpatch.Patch) (*record, error) {
	if rec, ok, err := t.patchParams(old, ops); ok {
		return rec, err
	}
	patched, err := ops.Apply(old.shown)
	if err != nil {
		return nil, patchError(err, old)
	}
	if !ops.Changes() {
		return old, nil
	}
	return t.patched(old, patched)
}

// patchError is the error of a patch that could not be applied to an object.
func patchError(err error, old *record) error {
	if bad, ok := errors.AsType[*jsonpatch.OpError](err); ok {
		return patchConflict(bad, old.head.Prefix(), old.key)
	}
	return err
}

// patched stages what a patch has made of an object.
func (t *tx) patched(old *record, patched []byte) (*record, error) {
	prefix := old.head.Prefix()
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

// patchConflict is the 409 error of a patch on an object URL.
func patchConflict(e *jsonpatch.OpError, prefix, key string) *models.Error {
	path := ""
	if e.Op.Path != nil {
		path = *e.Op.Path
	}
	line, _ := json.Marshal(map[string]string{"op": e.Op.Op, "path": path}) // strings always marshal
	return &models.Error{
		Model: prefix, Key: key, Type: "PATCH", Code: http.StatusConflict,
		Messages: []string{
			fmt.Sprintf("Patch error at line %d: %v", e.Line, e.Err),
			"Patch line: " + string(line),
		},
	}
}

// paramsConflict is the 409 error of a patch on a /params URL.
func paramsConflict(e *jsonpatch.OpError, prefix, key string) *models.Error {
	return &models.Error{
		Model: prefix, Key: key, Type: "PATCH", Code: http.StatusConflict,
		Messages: []string{fmt.Sprintf("Patch failed to apply at line %d", e.Line), e.Err.Error()},
	}
}
