package endpoint

import (
	"encoding/json"
	"errors"
	"net/http"

	"muster/endpoint/jsonpatch"
	"muster/endpoint/rawjson"
)

// getMeta answers GET /meta/{prefix}/{key} with the Meta of an object.
func (s *Server) getMeta(w http.ResponseWriter, r *http.Request, p *principal) error {
	prefix := r.PathValue("prefix")
	var rec *record
	err := s.store.view(func(t *tx) (err error) {
		rec, err = t.readable(p, prefix, r.PathValue("key"))
		return err
	})
	if err != nil {
		return err
	}
	return writeMeta(w, rec)
}

// patchMeta answers PATCH /meta/{prefix}/{key}, whose pointers begin at the Meta,
// with the patched Meta.
func (s *Server) patchMeta(w http.ResponseWriter, r *http.Request, p *principal) error {
	prefix := r.PathValue("prefix")
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	ops, badPatch := parsePatch(body)
	var rec *record
	err = s.store.update(p.name, func(t *tx) error {
		old, err := t.writable(p, prefix, r.PathValue("key"), ops.Claims("/Meta")...)
		if err == nil {
			err = old.patchable(p, badPatch, paramsConflict)
		}
		if err == nil {
			rec, err = t.patchMeta(old, ops)
		}
		return err
	})
	if err != nil {
		return err
	}
	return writeMeta(w, rec)
}

func (t *tx) patchMeta(old *record, ops jsonpatch.Patch) (*record, error) {
	meta, err := ops.Apply(metaOf(old))
	if bad, ok := errors.AsType[*jsonpatch.OpError](err); ok {
		return nil, paramsConflict(bad, old.head.Prefix(), old.key)
	}
	if err != nil || !ops.Changes() {
		return old, err
	}
	raw, err := rawjson.Set(old.shown, "Meta", meta)
	if err != nil {
		return nil, err
	}
	return t.patched(old, raw)
}

// metaOf returns the Meta of an object as JSON.
func metaOf(rec *record) []byte {
	if meta := rawjson.Lookup(rec.shown, "Meta"); len(meta) > 0 && meta[0] == '{' {
		return meta
	}
	return []byte("{}")
}

func writeMeta(w http.ResponseWriter, rec *record) error {
	return writeJSON(w, http.StatusOK, json.RawMessage(metaOf(rec)))
}
