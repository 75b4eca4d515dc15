package endpoint

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint/rawjson"
)

// tx is one transaction. It is valid only inside the function given to view or
// update, unless it is one of a snapshot, and sees its own changes.
type tx struct {
	s         *store
	principal string
	readOnly  bool
	passwords bool           // the password hash of a user may change
	force     bool           // the client insists, by ?force=true
	role      string         // of machines that are made
	packing   string         // the content pack whose objects are being stored
	staged    map[id]*record // nil record: deleted
	saved     map[id]bool    // staged by the server itself
	order     []id
}

// record returns the object with exactly this key, nil if there is none.
func (t *tx) record(prefix, key string) *record {
	if rec, ok := t.staged[id{prefix, key}]; ok {
		return rec
	}
	return t.s.objects[prefix][key]
}

// find returns the object with this key, or the one that a look-up by a unique
// index such as Name:foo means, nil if there is none.
func (t *tx) find(prefix, key string) *record {
	if rec := t.record(prefix, keyMeant(prefix, key)); rec != nil {
		return rec
	}
	index, value, ok := strings.Cut(key, ":")
	if !ok || !indexes()[prefix][index].unique {
		return nil
	}
	if index == "Name" && prefix == "machines" {
		for _, rec := range t.records(prefix) {
			if nameOf(rec.head) == value {
				return rec
			}
		}
		return nil
	}
	return t.record(prefix, keyMeant(prefix, value)) // every other unique index is the key
}

// records returns all objects of a type in the order of their keys.
func (t *tx) records(prefix string) []*record {
	all := maps.Clone(t.s.objects[prefix])
	if all == nil {
		all = map[string]*record{}
	}
	for what, rec := range t.staged {
		if what.prefix != prefix {
			continue
		}
		if rec == nil {
			delete(all, what.key)
		} else {
			all[what.key] = rec
		}
	}
	res := make([]*record, 0, len(all))
	for _, key := range slices.Sorted(maps.Keys(all)) {
		res = append(res, all[key])
	}
	return res
}

// get returns a private copy of an object; key may be a look-up like Name:foo.
func (t *tx) get(prefix, key string) (models.Model, bool) {
	rec := t.find(prefix, key)
	if rec == nil {
		return nil, false
	}
	return rec.model(), true
}

// list returns private copies of all objects of a type in the order of their keys.
func (t *tx) list(prefix string) []models.Model {
	recs := t.records(prefix)
	res := make([]models.Model, len(recs))
	for i, rec := range recs {
		res[i] = rec.model()
	}
	return res
}

// put validates and stages an object. It creates the object if its key is new.
func (t *tx) put(m models.Model) error {
	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if p, ok := m.(models.Paramer); ok {
		// Params that were only read and put back keep the numbers of the client,
		// which a Go value may have rounded.
		if old := t.record(m.Prefix(), m.Key()); old != nil {
			var was map[string]any
			if json.Unmarshal(old.params, &was) == nil && reflect.DeepEqual(was, p.GetParams()) {
				if raw, err = rawjson.With(raw, map[string][]byte{"Params": old.params}); err != nil {
					return err
				}
			}
		}
	}
	_, err = t.putRaw(m.Prefix(), raw)
	return err
}

// delete stages the removal of an object.
func (t *tx) delete(prefix, key string) error {
	rec := t.find(prefix, key)
	if rec == nil {
		return notFound(prefix, key)
	}
	if m, ok := rec.head.(*models.Machine); ok && m.Locked && t.byUser() {
		return locked(rec)
	}
	if err := t.mayWrite(rec); err != nil {
		return err
	}
	if users := t.usersOf(rec); len(users) > 0 {
		return invalid(rec, users)
	}
	t.stage(id{prefix, rec.key}, nil)
	return nil
}

func (t *tx) stage(what id, rec *record) {
	if t.readOnly {
		panic("endpoint: change inside a view")
	}
	if _, ok := t.staged[what]; !ok {
		t.order = append(t.order, what)
	}
	t.staged[what] = rec
}

// number gives every staged record the version that it is about to be committed as.
func (t *tx) number() {
	for i, what := range t.order {
		if rec := t.staged[what]; rec != nil {
			rec.version = t.s.version + uint64(i) + 1
		}
	}
}

// byUser reports whether a user, and no machine, changes the store.
func (t *tx) byUser() bool { return strings.HasPrefix(t.principal, "user:") }

// mayWrite returns an error for an object of a content pack, unless it is changed
// with the pack.
func (t *tx) mayWrite(rec *record) error {
	if rec == nil || t.packing != "" {
		return nil
	}
	bundle := bundleOf(rec.head)
	if bundle == "" {
		return nil
	}
	return &models.Error{
		Model: rec.head.Prefix(), Key: rec.key, Code: http.StatusForbidden,
		Messages: []string{"Read-only: it belongs to the content " + bundle},
	}
}

// locked is the answer to users who change a locked machine.
func locked(rec *record) *models.Error {
	return &models.Error{Model: "machines", Key: rec.key, Code: http.StatusForbidden, Messages: []string{"Locked"}}
}
