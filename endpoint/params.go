package endpoint

import (
	"encoding/json"
	"errors"
	"net/http"

	"gitlab.com/rackn/jp"
	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint/jsonpatch"
	"muster/endpoint/rawjson"
)

// getParams answers GET .../params: the object's own params or, with
// aggregate=true, those that it inherits as well.
func (s *Server) getParams(prefix string) handler {
	return func(w http.ResponseWriter, r *http.Request, p *principal) error {
		o, err := s.parseView(r.URL.Query())
		if err != nil {
			return err
		}
		var params json.RawMessage
		err = s.store.view(func(t *tx) error {
			rec, err := t.readable(p, prefix, r.PathValue("key"))
			if err != nil {
				return err
			}
			if err := o.allow(p, rec); err != nil {
				return err
			}
			params, err = o.params(t, rec)
			return err
		})
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, params)
	}
}

// getParam answers GET .../params/{param}; a param that is not set is null.
func (s *Server) getParam(prefix string) handler {
	return func(w http.ResponseWriter, r *http.Request, p *principal) error {
		o, err := s.parseView(r.URL.Query())
		if err != nil {
			return err
		}
		value := json.RawMessage("null")
		err = s.store.view(func(t *tx) error {
			rec, err := t.readable(p, prefix, r.PathValue("key"))
			if err != nil {
				return err
			}
			if err := o.allow(p, rec); err != nil {
				return err
			}
			if v, ok := o.param(t, rec, r.PathValue("param")); ok {
				value = v
			}
			return nil
		})
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, value)
	}
}

// postParams answers POST .../params, which replaces all params.
func (s *Server) postParams(prefix string) handler {
	return s.changeParams(prefix, func(r *http.Request, body []byte) paramChange {
		return paramChange{actions: []string{"update:/Params"}, apply: func(*record) ([]byte, error) {
			if len(body) == 0 || string(body) == "null" { // which would take all params away
				return nil, badRequest("Expected an object of params")
			}
			return body, nil
		}}
	})
}

// postParam answers POST .../params/{param}, which sets one param.
func (s *Server) postParam(prefix string) handler {
	return s.changeParams(prefix, func(r *http.Request, body []byte) paramChange {
		name := r.PathValue("param")
		if len(body) == 0 {
			body = []byte("null")
		}
		return paramChange{
			actions: []string{"update:" + jp.PtrTo("Params", name).String()},
			apply:   func(rec *record) ([]byte, error) { return rawjson.Set(rec.params, name, body) },
			answer:  func(_, rec *record) []byte { return rawjson.Lookup(rec.params, name) },
		}
	})
}

// deleteParam answers DELETE .../params/{param} with the value that was.
func (s *Server) deleteParam(prefix string) handler {
	return s.changeParams(prefix, func(r *http.Request, _ []byte) paramChange {
		name := r.PathValue("param")
		value := func(rec *record) []byte { return rawjson.Lookup(rec.params, name) }
		return paramChange{
			actions: []string{"update:" + jp.PtrTo("Params", name).String()},
			apply: func(rec *record) ([]byte, error) {
				if value(rec) == nil {
					return nil, notFound("params", name)
				}
				return rawjson.With(rec.params, map[string][]byte{name: nil})
			},
			answer: func(old, _ *record) []byte { return value(old) },
		}
	})
}

// patchParams answers PATCH .../params with all params of the patched object.
// Unlike on DRP 3.13 it is as atomic as a patch on the object URL.
func (s *Server) patchParams(prefix string) handler {
	return s.changeParams(prefix, func(r *http.Request, body []byte) paramChange {
		ops, badOp := parsePatch(body)
		return paramChange{
			actions:  ops.Claims("/Params"),
			badPatch: badOp,
			apply: func(rec *record) ([]byte, error) {
				params, err := ops.Apply(rec.params)
				if bad, ok := errors.AsType[*jsonpatch.OpError](err); ok {
					return nil, paramsConflict(bad, prefix, rec.key)
				}
				if err != nil || !ops.Changes() {
					return nil, err
				}
				return params, nil
			},
		}
	})
}

// paramChange is what one request does to the params of an object.
type paramChange struct {
	actions  []string // that the principal needs
	badPatch error    // of parsing the patch, if the request is one
	// apply returns the new params, nil if they do not change.
	apply  func(rec *record) ([]byte, error)
	answer func(old, rec *record) []byte // by default all params
}

// changeParams makes a handler of what plan finds in a request and its body.
func (s *Server) changeParams(prefix string, plan func(*http.Request, []byte) paramChange) handler {
	return func(w http.ResponseWriter, r *http.Request, p *principal) error {
		body, err := readBody(w, r)
		if err != nil {
			return err
		}
		change := plan(r, body)
		var old, rec *record
		err = s.store.update(p.name, func(t *tx) (err error) {
			if old, err = t.writable(p, prefix, r.PathValue("key"), change.actions...); err != nil {
				return err
			}
			if r.Method == http.MethodPatch {
				if err := old.patchable(p, change.badPatch, paramsConflict); err != nil {
					return err
				}
			}
			if rec, err = t.putParams(old, change); err != nil {
				return err
			}
			return t.mayHold(p, old, rec)
		})
		if err != nil {
			return err
		}
		answer := rec.params
		if change.answer != nil {
			answer = change.answer(old, rec)
		}
		return writeJSON(w, http.StatusOK, json.RawMessage(answer))
	}
}

// putParams stages an object with changed params. Whatever is wrong with them is
// a conflict, as on DRP.
func (t *tx) putParams(old *record, change paramChange) (*record, error) {
	params, err := change.apply(old)
	if err != nil || params == nil {
		return old, err
	}
	raw, err := rawjson.With(old.raw, map[string][]byte{"Params": params})
	if err != nil {
		return nil, err
	}
	rec, err := t.putRaw(old.head.Prefix(), raw)
	if e, ok := errors.AsType[*models.Error](err); ok && e.Code != http.StatusForbidden {
		return nil, &models.Error{Model: e.Model, Key: old.key, Type: e.Type, Code: http.StatusConflict, Messages: e.Messages}
	}
	return rec, err
}
