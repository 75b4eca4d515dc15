package endpoint

import (
	"encoding/json"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	puuid "github.com/pborman/uuid"
	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint/filter"
)

// index is something that every object of a type has and that lists can be
// filtered and sorted by.
type index struct {
	kind   filter.Kind
	unique bool
	typ    string // as clients are told
}

// indexes are the indexes by type and name. As in DRP 4 they are the fields of
// the models that hold one value or a list of texts.
var indexes = sync.OnceValue(func() map[string]map[string]index {
	all := map[string]map[string]index{}
	for _, ot := range objectTypes {
		m, err := models.New(ot.prefix)
		if err != nil {
			continue
		}
		found := map[string]index{
			"Key":   {kind: filter.Text, unique: true, typ: "string"},
			"Valid": {kind: filter.Boolean, typ: "boolean"},
		}
		if _, ok := m.(models.Paramer); ok {
			found["Params"] = index{kind: filter.Text, typ: "list"}
		}
		if t := reflect.TypeOf(m).Elem(); t.Kind() == reflect.Struct {
			addIndexes(found, t)
		}
		all[ot.prefix] = found
	}
	return all
})

func addIndexes(found map[string]index, t reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		_, how, _ := strings.Cut(f.Tag.Get("index"), ",")
		switch {
		case f.Anonymous && f.Type.Kind() == reflect.Struct:
			addIndexes(found, f.Type)
		case !f.IsExported() || how == "ignore":
		default:
			if idx, ok := indexOf(f.Type); ok {
				idx.unique = how == "key" || how == "uniq"
				found[f.Name] = idx
			}
		}
	}
}

func indexOf(t reflect.Type) (index, bool) {
	switch t {
	case reflect.TypeFor[puuid.UUID]():
		return index{kind: filter.UUID, typ: "UUID"}, true
	case reflect.TypeFor[net.IP]():
		return index{kind: filter.IP, typ: "IP Address"}, true
	case reflect.TypeFor[time.Time]():
		return index{kind: filter.Time, typ: "date"}, true
	case reflect.TypeFor[[]string]():
		return index{kind: filter.Text, typ: "list"}, true
	}
	switch t.Kind() {
	case reflect.String:
		return index{kind: filter.Text, typ: "string"}, true
	case reflect.Bool:
		return index{kind: filter.Boolean, typ: "boolean"}, true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return index{kind: filter.Number, typ: "integer"}, true
	}
	return index{}, false
}

// indexes returns the indexes of a type in this server.
func (s *store) indexes(prefix string) map[string]models.Index {
	res := map[string]models.Index{}
	for name, idx := range indexes()[prefix] {
		if !s.lacks(prefix, name) {
			res[name] = models.Index{Type: idx.typ, Unique: idx.unique, Unordered: idx.typ == "list", Regex: idx.kind != filter.Number && idx.kind != filter.Boolean}
		}
	}
	return res
}

// lacks reports whether clients do not see a field in the compat mode.
func (s *store) lacks(prefix, name string) bool {
	return s.compat313 && (slices.Contains(newerFields[""], name) || slices.Contains(newerFields[prefix], name))
}

// getIndexes answers GET /indexes.
func (s *Server) getIndexes(w http.ResponseWriter, _ *http.Request, _ *principal) error {
	all := map[string]map[string]models.Index{}
	for _, ot := range s.types() {
		all[ot.prefix] = s.store.indexes(ot.prefix)
	}
	return writeJSON(w, http.StatusOK, all)
}

// getTypeIndexes answers GET /indexes/{prefix}.
func (s *Server) getTypeIndexes(w http.ResponseWriter, r *http.Request, _ *principal) error {
	prefix := r.PathValue("prefix")
	if !slices.ContainsFunc(s.types(), func(ot objectType) bool { return ot.prefix == prefix }) {
		return notFound("indexes", prefix)
	}
	return writeJSON(w, http.StatusOK, s.store.indexes(prefix))
}

// getIndex answers GET /indexes/{prefix}/{name...}: a field or a declared param.
// A name that is neither has an empty index.
func (s *Server) getIndex(w http.ResponseWriter, r *http.Request, _ *principal) error {
	prefix, name := r.PathValue("prefix"), r.PathValue("name")
	idx, ok := s.store.indexes(prefix)[name]
	if !ok && hasParams(prefix) {
		_ = s.store.view(func(t *tx) error {
			if rec := t.record("params", name); rec != nil {
				idx = paramIndex(rec.head.(*models.Param))
			}
			return nil
		})
	}
	return writeJSON(w, http.StatusOK, idx)
}

// paramIndex describes a declared param by the type in its schema.
func paramIndex(p *models.Param) models.Index {
	var schema struct{ Type any }
	if raw, err := json.Marshal(p.Schema); err == nil {
		_ = json.Unmarshal(raw, &schema) // a schema that is no object has no type
	}
	typ, _ := schema.Type.(string)
	if typ == "" {
		typ = "any"
	}
	return models.Index{Type: typ, Unordered: typ == "array" || typ == "object", Regex: typ == "string"}
}
