package endpoint

import (
	"fmt"
	"net/http"
	"slices"

	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint/rawjson"
	"muster/endpoint/schema"
)

// check says what makes an object unfit to be stored, apart from its params: bad
// syntax, or names of objects that a machine needs and that are not there. old is
// the object that it replaces, nil for a new one.
func (t *tx) check(rec, old *record) error {
	var faults []string
	if p, ok := rec.head.(*models.Param); ok && p.Schema != nil {
		if err := schema.Check(p.Schema); err != nil {
			return invalid(rec, []string{err.Error()})
		}
		if value, ok := p.DefaultValue(); ok {
			if err := schema.CheckCost(p.Schema, value); err != nil {
				return invalid(rec, []string{err.Error()})
			}
		}
	}
	if v, ok := rec.head.(models.Validator); ok {
		v.ClearValidation()
		if p, ok := rec.head.(*models.Profile); ok {
			v = &models.Profile{Name: p.Name, ParamData: p.ParamData, ProfileData: p.ProfileData}
			v.(*models.Profile).Fill()
		}
		v.Validate()
		if err, ok := v.HasError().(*models.Validation); ok {
			faults = append(faults, err.Errors...)
		}
	}
	faults = append(faults, t.badReferences(rec, old)...)
	if len(faults) > 0 {
		return invalid(rec, faults)
	}
	return nil
}

// accept checks the params of a record that is about to be staged and marks it as
// valid and, unless it needs something that is missing, as available.
func (t *tx) accept(rec, old *record) error {
	if faults := t.badParams(rec, old); len(faults) > 0 {
		return invalid(rec, faults)
	}
	rec.checked = t.s.schemas
	t.setAvailable(rec.head)
	if p, ok := rec.head.(*models.Param); ok && p.Schema != nil {
		var err error
		if rec.schema, err = schema.Compile(p.Schema); err != nil {
			return invalid(rec, []string{err.Error()})
		}
	}
	return nil
}

func invalid(rec *record, faults []string) *models.Error {
	return &models.Error{
		Model: rec.head.Prefix(), Key: rec.key, Type: "ValidationError",
		Code: http.StatusUnprocessableEntity, Messages: faults,
	}
}

// badParams says which params of an object have a bad name or do not match their
// declaration. Params that did not change since they were last checked against
// the same declarations are good: large objects are patched often.
func (t *tx) badParams(rec, old *record) (faults []string) {
	if rec.params == nil {
		return nil
	}
	known := map[string][]byte{}
	if old != nil && old.checked == t.s.schemas {
		_ = rawjson.Each(old.params, func(name string, value []byte) { known[name] = value })
	}
	err := rawjson.Each(rec.params, func(name string, value []byte) {
		if was, ok := known[name]; ok && string(was) == string(value) {
			return
		}
		faults = append(faults, t.badParam(rec, name, func() []byte { return value })...)
	})
	if err != nil {
		faults = append(faults, "Params: "+err.Error())
	}
	return faults
}

// badParam says what is wrong with one param of an object. It asks for the value
// only if the param is declared.
func (t *tx) badParam(rec *record, name string, value func() []byte) (faults []string) {
	if err := models.ValidParamName("Invalid Param Name", name); err != nil {
		faults = append(faults, err.Error())
	}
	decl := t.record("params", name)
	if decl == nil || !t.secure(name) && decl.schema == nil {
		return faults
	}
	plain := value()
	if t.secure(name) {
		var err error
		if plain, err = rec.keys.open(plain); err != nil {
			return append(faults, fmt.Sprintf("Param %s: %v", name, err))
		}
	}
	if decl.schema != nil {
		faults = append(faults, decl.mismatches(plain)...)
	}
	return faults
}

// mismatches says how a value fails the schema of a param, without repeating it.
func (r *record) mismatches(value []byte) (faults []string) {
	found, err := r.schema.Mismatches(value)
	if err != nil {
		found = []string{err.Error()}
	}
	for _, fault := range found {
		faults = append(faults, fmt.Sprintf("Param %s: %s", r.key, fault))
	}
	return faults
}

// usersOf says, one message each, which objects still need this one.
func (t *tx) usersOf(rec *record) (users []string) {
	prefix := rec.head.Prefix()
	if prefix == "profiles" {
		for _, p := range []string{"machines", "profiles", "stages"} {
			for _, other := range t.records(p) {
				if slices.Contains(other.head.(models.Profiler).GetProfiles(), rec.key) {
					users = append(users, fmt.Sprintf("In use by %s %s", p, nameOf(other.head)))
				}
			}
		}
	}
	if prefix == "profiles" && rec.key == "global" {
		users = append(users, "In use by every machine")
	}
	for _, other := range t.records("machines") {
		m := other.head.(*models.Machine)
		if entry := entryOf(prefix, rec.key); entry != nil && slices.ContainsFunc(m.Tasks[min(max(m.CurrentTask, 0), len(m.Tasks)):], entry) {
			users = append(users, "In use by the task list of machine "+m.Name)
		}
		uses := map[string]string{"workflows": m.Workflow, "stages": m.Stage, "bootenvs": m.BootEnv}
		if uses[prefix] == rec.key {
			users = append(users, "In use by machines "+m.Name)
		}
	}
	return users
}

// entryOf recognizes the entries of task lists that need an object, nil if none do.
func entryOf(prefix, key string) func(entry string) bool {
	kinds := map[string]string{"tasks": models.TASK, "stages": models.STAGE, "bootenvs": models.BOOTENV}
	if kinds[prefix] == "" {
		return nil
	}
	return func(entry string) bool {
		kind, name := (&models.TaskState{Tasks: []string{entry}}).EntryAt(0)
		return kind == kinds[prefix] && name == key
	}
}
