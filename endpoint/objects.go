package endpoint

import (
	"encoding/json"
	"errors"
	"net/http"

	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint/rawjson"
)

// getObject answers GET and HEAD of one object, at once or, if the request says
// so, when the object has changed.
func (s *Server) getObject(prefix string) handler {
	return func(w http.ResponseWriter, r *http.Request, p *principal) error {
		var rec *record
		err := s.store.view(func(t *tx) (err error) {
			rec, err = t.readable(p, prefix, r.PathValue("key"))
			return err
		})
		if err != nil {
			return err
		}
		if match := r.Header.Get("If-None-Match"); match != "" && !s.store.compat313 {
			rec, err = s.awaitChange(r, id{prefix, rec.key}, match)
			if errors.Is(err, errNoChange) {
				s.setETag(w, rec)
				writeHeader(w, http.StatusNotModified)
				return nil
			}
			if err != nil {
				return err
			}
		}
		o, err := s.parseView(r.URL.Query())
		if err != nil {
			return err
		}
		var shown json.RawMessage
		err = s.store.view(func(t *tx) error {
			if err := o.allow(p, rec); err != nil {
				return err
			}
			shown, err = o.show(t, rec)
			return err
		})
		if err != nil {
			return err
		}
		s.setETag(w, rec)
		return writeJSON(w, http.StatusOK, shown)
	}
}

// readable returns an object that p may get. Without the permission it looks as
// if the object did not exist.
func (t *tx) readable(p *principal, prefix, key string) (*record, error) {
	rec := t.find(prefix, key)
	if rec == nil || !p.can(prefix, "get", rec.authKey()) {
		return nil, notFound(prefix, keyMeant(prefix, key))
	}
	return rec, nil
}

// writable returns an object that p may do all actions on. Without the
// permission nobody learns whether the object exists.
func (t *tx) writable(p *principal, prefix, key string, actions ...string) (*record, error) {
	rec, specific := t.find(prefix, key), key
	if rec != nil {
		specific = rec.authKey()
	}
	for _, action := range actions {
		if err := authorize(p, prefix, action, specific); err != nil {
			return nil, err
		}
	}
	if rec == nil {
		return nil, notFound(prefix, key)
	}
	return rec, nil
}

// postObject answers POST of a new object.
func (s *Server) postObject(prefix string) handler {
	return func(w http.ResponseWriter, r *http.Request, p *principal) error {
		body, err := readBody(w, r)
		if err != nil {
			return err
		}
		head, _, err := decode(prefix, body)
		if err != nil {
			return badRequest(err.Error())
		}
		setDefaults(head)
		created := &record{key: head.Key(), head: head}
		if err := authorize(p, prefix, "create", created.authKey()); err != nil {
			return err
		}
		if created.key == "" {
			return badRequest("Empty key not allowed")
		}
		if m, ok := head.(*models.Machine); ok {
			// The key must stay the one that was authorized, also if it was made up just now.
			if body, err = rawjson.Set(body, "Uuid", []byte(`"`+m.Uuid.String()+`"`)); err != nil {
				return err
			}
		}
		var rec *record
		err = s.store.update(p.name, func(t *tx) error {
			if t.record(prefix, created.key) != nil {
				return &models.Error{
					Model: prefix, Key: created.key, Type: "CREATE", Code: http.StatusConflict,
					Messages: []string{"already exists"},
				}
			}
			if rec, err = t.putRaw(prefix, body); err != nil {
				return err
			}
			return t.mayHold(p, nil, rec)
		})
		if err != nil {
			return err
		}
		return s.writeRecord(w, http.StatusCreated, rec)
	}
}

// putObject answers PUT of an existing object.
func (s *Server) putObject(prefix string) handler {
	return func(w http.ResponseWriter, r *http.Request, p *principal) error {
		body, err := readBody(w, r)
		if err != nil {
			return err
		}
		force, err := flag(r.URL.Query(), "force")
		if err != nil {
			return err
		}
		var rec *record
		err = s.store.update(p.name, func(t *tx) error {
			t.force = force
			old, err := t.writable(p, prefix, r.PathValue("key"), "update")
			if err != nil {
				return err
			}
			head, _, err := decode(prefix, body)
			if err != nil {
				return badRequest(err.Error())
			}
			if head.Key() != old.key {
				return &models.Error{Model: prefix, Key: old.key, Code: http.StatusBadRequest, Messages: []string{"Key change not allowed"}}
			}
			if rec, err = t.replace(old, body); err != nil {
				return err
			}
			return t.mayHold(p, old, rec)
		})
		if err != nil {
			return err
		}
		return s.writeRecord(w, http.StatusOK, rec)
	}
}

// deleteObject answers DELETE with the object that was.
func (s *Server) deleteObject(prefix string) handler {
	return func(w http.ResponseWriter, r *http.Request, p *principal) error {
		var rec *record
		err := s.store.update(p.name, func(t *tx) (err error) {
			if rec, err = t.writable(p, prefix, r.PathValue("key"), "delete"); err != nil {
				return err
			}
			return t.delete(prefix, rec.key)
		})
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, json.RawMessage(rec.shown))
	}
}

// writeRecord sends a complete object with its ETag.
func (s *Server) writeRecord(w http.ResponseWriter, status int, rec *record) error {
	s.setETag(w, rec)
	return writeJSON(w, status, json.RawMessage(rec.shown))
}

func (s *Server) setETag(w http.ResponseWriter, rec *record) {
	if !s.store.compat313 {
		w.Header().Set("ETag", s.store.etag(rec))
	}
}
