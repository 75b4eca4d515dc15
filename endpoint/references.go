package endpoint

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint/rawjson"
	"muster/endpoint/render"
)

// Objects name one another. What a machine names must be there and usable, else
// the change of the machine is refused. A stage, a workflow, a task or a boot
// environment that names something missing is stored all the same, but is not
// Available until what it needs is there: content comes in any order.

// badReferences says which references make an object unfit to be stored, and for
// a machine also who has its name already. References that do not change are not
// checked again: what happens to others must not freeze a machine.
func (t *tx) badReferences(rec, old *record) (faults []string) {
	m, isMachine := rec.head.(*models.Machine)
	was := &models.Machine{}
	if isMachine && old != nil {
		was = old.head.(*models.Machine)
	}
	if isMachine {
		faults = append(faults, t.unusable("workflows", "Workflow", was.Workflow, m.Workflow)...)
		faults = append(faults, t.unusable("stages", "Stage", was.Stage, m.Stage)...)
		faults = append(faults, t.unusable("bootenvs", "BootEnv", was.BootEnv, m.BootEnv)...)
	}
	if p, ok := rec.head.(models.Profiler); ok && rec.head.Prefix() != "stages" {
		faults = append(faults, t.badProfiles(rec.key, p.GetProfiles())...)
	}
	if !isMachine {
		return faults
	}
	if !slices.Equal(was.Tasks, m.Tasks) {
		faults = append(faults, t.missingTasks(rec.key, m.Tasks)...)
	}
	for _, other := range t.records("machines") {
		if other.key != rec.key && nameOf(other.head) == m.Name {
			faults = append(faults, fmt.Sprintf("Machine name %s is already in use by %s", m.Name, other.key))
		}
	}
	return faults
}

// unusable says why a machine may not change a reference from old to name.
func (t *tx) unusable(prefix, kind, old, name string) []string {
	if name == "" || name == old {
		return nil
	}
	rec := t.record(prefix, name)
	if rec == nil {
		kind = kind[:1] + strings.ToLower(kind[1:])
		return []string{fmt.Sprintf("%s %s does not exist", kind, name)}
	}
	if env, ok := rec.head.(*models.BootEnv); ok && env.OnlyUnknown {
		return []string{fmt.Sprintf("BootEnv %s does not allow Machine assignments, it has the OnlyUnknown flag.", name)}
	}
	if !available(rec) {
		return []string{fmt.Sprintf("%s %s is not available", kind, name)}
	}
	return nil
}

// badProfiles says which of an object's profiles are missing or come twice.
func (t *tx) badProfiles(key string, names []string) (faults []string) {
	if len(names) > maxProfiles {
		return []string{fmt.Sprintf("%s: %d profiles, expected at most %d", key, len(names), maxProfiles)}
	}
	first := map[string]int{}
	for i, name := range names {
		if t.record("profiles", name) == nil {
			faults = append(faults, fmt.Sprintf("%s: Profile %s (at %d) does not exist", key, name, i))
		}
		if j, ok := first[name]; ok {
			faults = append(faults, fmt.Sprintf("%s: Duplicate profile %s: at %d and %d", key, name, j, i))
		} else {
			first[name] = i
		}
	}
	return faults
}

// mayHold returns an error if p has put something into an object that it may not:
// a profile that it may not read, or the value of a secure param without the claim
// updateSecure. old is nil for a new object.
func (t *tx) mayHold(p *principal, old, rec *record) error {
	if err := mayInherit(p, old, rec); err != nil {
		return err
	}
	if p.can(rec.head.Prefix(), "updateSecure", rec.authKey()) {
		return nil
	}
	had := map[string]string{}
	if old != nil {
		_ = rawjson.Each(old.params, func(name string, value []byte) { had[name] = string(value) })
	}
	var err error
	_ = rawjson.Each(rec.params, func(name string, value []byte) {
		if err == nil && t.secure(name) && had[name] != string(value) {
			err = authorize(p, rec.head.Prefix(), "updateSecure", rec.authKey())
		}
	})
	return err
}

// mayInherit returns an error if p has put a profile into another that it may not
// read itself: it could then read its params, and the secure ones in clear. Machines
// may carry any profile, as on DRP (wire contract, section 8). old is nil for a new
// object.
func mayInherit(p *principal, old, rec *record) error {
	profile, ok := rec.head.(*models.Profile)
	if !ok {
		return nil
	}
	for i, name := range profile.Profiles {
		had := old != nil && slices.Contains(old.head.(*models.Profile).Profiles, name)
		if !had && !p.can("profiles", "get", name) {
			return invalid(rec, []string{fmt.Sprintf("%s: Profile %s (at %d) does not exist", rec.key, name, i)})
		}
	}
	return nil
}

// missingTasks says which entries of a task list are tasks that do not exist.
func (t *tx) missingTasks(key string, list []string) (faults []string) {
	for i := range list {
		kind, name := (&models.TaskState{Tasks: list}).EntryAt(i)
		if kind == models.TASK && t.record("tasks", name) == nil {
			faults = append(faults, fmt.Sprintf("%s: Task %s (at %d) does not exist", key, name, i))
		}
	}
	return faults
}

// flaws says what an object that may be stored lacks to be available.
func (t *tx) flaws(head models.Model) (flaws []string) {
	key := head.Key()
	need := func(prefix, kind, name string) {
		switch rec := t.record(prefix, name); {
		case name == "":
		case rec == nil:
			flaws = append(flaws, fmt.Sprintf("%s: %s %s does not exist", key, kind, name))
		case !available(rec):
			flaws = append(flaws, fmt.Sprintf("%s: %s %s is not available", key, kind, name))
		}
	}
	switch o := head.(type) {
	case *models.BootEnv:
		if o.Kernel != "" && !namesISO(o) {
			flaws = append(flaws, fmt.Sprintf("%s: missing kernel %s", key, o.Kernel))
		}
	case *models.Template:
		if err := render.Check(o); err != nil {
			flaws = append(flaws, fmt.Sprintf("%s: Parse error: %v", key, err))
		}
	case *models.Task:
		for _, tmpl := range o.Templates {
			need("templates", "Template", tmpl.ID)
		}
	case *models.Stage:
		need("bootenvs", "BootEnv", o.BootEnv)
		flaws = append(flaws, t.badProfiles(key, o.Profiles)...)
		flaws = append(flaws, t.missingTasks(key, o.Tasks)...)
	case *models.Workflow:
		for _, stage := range o.Stages {
			need("stages", "Stage", stage)
		}
	}
	return flaws
}

// namesISO reports whether a boot environment says where its kernel comes from.
// The endpoint boots no machine, so that has to do.
func namesISO(env *models.BootEnv) bool {
	for _, arch := range env.OS.SupportedArchitectures {
		if arch.IsoFile != "" {
			return true
		}
	}
	return env.OS.IsoFile != ""
}

func available(rec *record) bool {
	v, ok := rec.head.(models.Validator)
	return !ok || v.IsAvailable()
}

// setAvailable marks an object that was checked as valid, and as available or not.
func (t *tx) setAvailable(head models.Model) {
	v, ok := head.(interface {
		models.Validator
		models.ValidateSetter
		SaveValidation() *models.Validation
		RestoreValidation(*models.Validation)
	})
	if !ok {
		return
	}
	v.ClearValidation()
	v.SetValid()
	v.SetAvailable()
	if flaws := t.flaws(head); len(flaws) > 0 {
		v.RestoreValidation(&models.Validation{Validated: true, Errors: flaws})
	}
}

// settle looks again at what is available, once objects have come or gone that
// others may need.
func (t *tx) settle() error {
	if !slices.ContainsFunc(t.order, t.mayMatterToOthers) {
		return nil
	}
	for _, prefix := range []string{"tasks", "stages", "workflows"} { // the last need the first
		for _, rec := range t.records(prefix) {
			if slices.Equal(t.flaws(rec.head), errorsOf(rec.head)) {
				continue
			}
			head := models.Clone(rec.head)
			t.setAvailable(head)
			if err := t.save(rec, head); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *tx) mayMatterToOthers(what id) bool {
	switch what.prefix {
	case "bootenvs", "templates", "tasks", "stages":
		return true
	case "profiles":
		return t.staged[what] == nil || t.s.objects[what.prefix][what.key] == nil
	}
	return false
}

func errorsOf(m models.Model) []string {
	if err, ok := m.(models.Validator).HasError().(*models.Validation); ok {
		return err.Errors
	}
	return nil
}

// save stages an object whose head the server itself has changed, which others
// see as the action save instead of update.
func (t *tx) save(old *record, head models.Model) error {
	rec := *old
	rec.head = head
	var err error
	if rec.raw, err = encode(head, rec.params); err != nil {
		return err
	}
	shown, err := t.s.present(head.Prefix(), rec.raw)
	if err != nil {
		return err
	}
	rec.shown = json.RawMessage(shown)
	what := id{head.Prefix(), rec.key}
	_, staged := t.staged[what]
	t.stage(what, &rec)
	if !staged {
		t.saved[what] = true
	}
	return nil
}
