package endpoint

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"gitlab.com/rackn/provision/v4/models"
)

const (
	// basicStore is the pack of what every DRP endpoint has. Other packs may
	// override its objects, which come back when those packs go.
	basicStore = "BasicStore"
	// backingStore stands for the objects that are in no pack.
	backingStore = "BackingStore"

	maxPackBody = maxObject
)

// packOrder is the order in which the objects of a pack are stored: declarations
// before the values that they rule.
var packOrder = []string{"params", "templates", "bootenvs", "tasks", "profiles", "stages", "workflows"}

// listContents answers GET /contents with a summary of every content pack.
func (s *Server) listContents(w http.ResponseWriter, _ *http.Request, p *principal) error {
	summaries := []*models.ContentSummary{}
	err := s.store.view(func(t *tx) error {
		if p.can("contents", "list", backingStore) {
			summaries = append(summaries, t.backingSummary())
		}
		for _, rec := range t.records("contents") {
			if p.can("contents", "list", rec.key) {
				summaries = append(summaries, t.packSummary(rec))
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, summaries)
}

// putContent answers POST /contents and PUT /contents/{key}: it makes all objects
// of a pack read-only objects of the endpoint, or none. The objects of the
// pack's last version that are not in this one go.
func (s *Server) putContent(w http.ResponseWriter, r *http.Request, p *principal) error {
	action, status := "create", http.StatusCreated
	if r.Method == http.MethodPut {
		action, status = "update", http.StatusOK
	}
	if !p.mayDoSome("contents", action) { // before a large body is read
		return authorize(p, "contents", action, r.PathValue("key"))
	}
	body, err := readBodyUpTo(w, r, maxPackBody)
	if err != nil {
		return err
	}
	replaceWritable, err := flag(r.URL.Query(), "replaceWritable")
	if err != nil {
		return err
	}
	pack, err := parsePack(body)
	if err != nil {
		return err
	}
	if r.Method == http.MethodPut {
		if key := r.PathValue("key"); key != pack.name {
			return &models.Error{Model: "contents", Key: key, Code: http.StatusBadRequest, Messages: []string{"Key change not allowed"}}
		}
	}
	if err := authorize(p, "contents", action, pack.name); err != nil {
		return err
	}
	if err := pack.mayBeUploaded(p); err != nil {
		return err
	}
	var summary *models.ContentSummary
	err = s.store.update(p.name, func(t *tx) error {
		switch old := t.record("contents", pack.name); {
		case pack.name == basicStore || pack.name == backingStore:
			return pack.fault(http.StatusConflict, "The content %s is built in", pack.name)
		case old != nil && action == "create":
			return &models.Error{Model: "contents", Key: pack.name, Type: "CREATE", Code: http.StatusConflict, Messages: []string{"already exists"}}
		case old == nil && action == "update":
			return notFound("contents", pack.name)
		}
		if err := t.upload(pack, replaceWritable); err != nil {
			return err
		}
		summary = t.packSummary(t.record("contents", pack.name))
		return nil
	})
	if err != nil {
		return err
	}
	return writeJSON(w, status, summary)
}

// deleteContent answers DELETE /contents/{key}: the pack goes with its objects. It
// is refused while a machine or a profile needs one of them.
func (s *Server) deleteContent(w http.ResponseWriter, r *http.Request, p *principal) error {
	err := s.store.update(p.name, func(t *tx) error {
		rec, err := t.writable(p, "contents", r.PathValue("key"), "delete")
		if err != nil {
			return err
		}
		if rec.key == basicStore {
			return &models.Error{Model: "contents", Key: rec.key, Code: http.StatusConflict, Messages: []string{"The content BasicStore is built in"}}
		}
		if err := t.notRequired(rec); err != nil {
			return err
		}
		t.packing = rec.key
		t.stage(id{"contents", rec.key}, nil)
		return t.dropObjects(rec, nil)
	})
	if err != nil {
		return err
	}
	writeHeader(w, http.StatusNoContent)
	return nil
}

// pack is a content pack that was uploaded, with its objects as they came.
type pack struct {
	name    string
	meta    models.ContentMetaData
	objects map[id]json.RawMessage
	raw     []byte
}

func (p *pack) fault(status int, format string, args ...any) error {
	return &models.Error{
		Model: "contents", Key: p.name, Type: "STORE_ERROR", Code: status, Messages: []string{fmt.Sprintf(format, args...)},
	}
}

func parsePack(body []byte) (*pack, error) {
	var wire struct {
		Meta     models.ContentMetaData                `json:"meta"`
		Sections map[string]map[string]json.RawMessage `json:"sections"`
	}
	if err := json.Unmarshal(body, &wire); err != nil {
		return nil, badRequest("Not a content pack: " + misfit(body, &wire, err).Error())
	}
	p := &pack{name: wire.Meta.Name, meta: wire.Meta, raw: body, objects: map[id]json.RawMessage{}}
	if p.name == "" {
		return nil, badRequest("A content pack needs a Name in its meta")
	}
	if p.meta.Version == "" {
		p.meta.Version = "v0.0.0"
	}
	if _, err := semver.NewVersion(p.meta.Version); err != nil {
		return nil, p.fault(http.StatusUnprocessableEntity, "Version %q is no semantic version", p.meta.Version)
	}
	for prefix, section := range wire.Sections {
		if prefix == "jobs" || prefix == "contents" || !isObject(prefix) {
			return nil, p.fault(http.StatusUnprocessableEntity, "A content pack cannot hold %s", prefix)
		}
		for key, raw := range section {
			p.objects[id{prefix, key}] = raw
		}
	}
	return p, nil
}

// mayBeUploaded returns an error if the pack would give powers, by users and roles,
// to one who may not do so without it.
func (p *pack) mayBeUploaded(by *principal) error {
	for what := range p.objects {
		if what.prefix != "users" && what.prefix != "roles" {
			continue
		}
		for _, action := range []string{"create", "update", "delete"} {
			if err := authorize(by, what.prefix, action, what.key); err != nil {
				return err
			}
		}
	}
	return nil
}

// order returns the objects of the pack in the order in which to store them.
func (p *pack) order() []id {
	return slices.SortedFunc(maps.Keys(p.objects), func(a, b id) int {
		rank := func(prefix string) int {
			if i := slices.Index(packOrder, prefix); i >= 0 {
				return i
			}
			return len(packOrder)
		}
		if d := rank(a.prefix) - rank(b.prefix); d != 0 {
			return d
		}
		return strings.Compare(a.prefix+"\x00"+a.key, b.prefix+"\x00"+b.key)
	})
}

// upload stages the pack and its objects.
func (t *tx) upload(p *pack, replaceWritable bool) error {
	if err := t.prerequisites(p); err != nil {
		return err
	}
	if err := t.keysAreFree(p, replaceWritable); err != nil {
		return err
	}
	old := t.record("contents", p.name)
	if _, err := t.putRaw("contents", p.raw); err != nil {
		return err
	}
	t.packing = p.name
	// An object may need one that comes later: such are tried again.
	for rest := p.order(); len(rest) > 0; {
		var waiting []id
		var first error
		for _, what := range rest {
			if err := t.putPacked(p, what); err != nil {
				waiting = append(waiting, what)
				first = cmp.Or(first, err)
			}
		}
		if len(waiting) == len(rest) {
			return first
		}
		rest = waiting
	}
	if old != nil {
		if err := t.dropObjects(old, p.objects); err != nil {
			return err
		}
	}
	return t.settle() // for the summary
}

func (t *tx) putPacked(p *pack, what id) error {
	rec, err := t.putRaw(what.prefix, p.objects[what])
	if err != nil {
		if e, ok := errors.AsType[*models.Error](err); ok {
			return p.fault(http.StatusUnprocessableEntity, "%s %s: %s", what.prefix, what.key, strings.Join(e.Messages, "; "))
		}
		return err
	}
	if rec.key != what.key {
		return p.fault(http.StatusUnprocessableEntity, "The object %s of %s has the key %s", what.key, what.prefix, rec.key)
	}
	return nil
}

// bootFeatures are features of DRP about what this endpoint does not do, which is to
// boot machines, and to keep tenants apart. Packs may require them all the same:
// nothing in them is wrong without.
var bootFeatures = []string{
	"tenants", "multiarch", "overridable-bootloaders", "centos-8", "auto-boot-target", "bootenv-param-customizations", "package-repository-handling",
}

// prerequisites checks that the endpoint has the features and the other packs that
// a pack needs.
func (t *tx) prerequisites(p *pack) error {
	for _, name := range split(p.meta.RequiredFeatures) {
		if name != "" && !slices.Contains(t.s.features(), name) && !slices.Contains(bootFeatures, name) {
			return p.fault(http.StatusUnprocessableEntity, "The required feature %s is missing", name)
		}
	}
	needs, err := models.ParseContentPrerequisites(p.meta.Prerequisites)
	if err != nil {
		return p.fault(http.StatusUnprocessableEntity, "%v", err)
	}
	for name, constraint := range needs {
		rec := t.record("contents", name)
		if rec == nil {
			return p.fault(http.StatusUnprocessableEntity, "The required content %s is missing", name)
		}
		have, err := semver.NewVersion(rec.head.(*models.Content).Meta.Version)
		if err != nil {
			have = semver.New(0, 0, 0, "", "")
		}
		if !constraint.Check(have) {
			return p.fault(http.StatusUnprocessableEntity, "The required content %s is %s, want %s", name, have, constraint)
		}
	}
	return nil
}

// notRequired checks that no other pack requires one that is to go.
func (t *tx) notRequired(rec *record) error {
	for _, other := range t.records("contents") {
		needs, err := models.ParseContentPrerequisites(other.head.(*models.Content).Meta.Prerequisites)
		if _, ok := needs[rec.key]; ok && err == nil {
			return &models.Error{
				Model: "contents", Key: rec.key, Type: "STORE_ERROR", Code: http.StatusUnprocessableEntity,
				Messages: []string{"Required by the content " + other.key},
			}
		}
	}
	return nil
}

// keysAreFree checks that a pack overrides nothing that it may not: objects of
// other packs never, objects that are in no pack only if asked for.
func (t *tx) keysAreFree(p *pack, replaceWritable bool) error {
	var taken []string
	for _, what := range p.order() {
		rec := t.record(what.prefix, what.key)
		if rec == nil {
			continue
		}
		switch bundle := bundleOf(rec.head); {
		case bundle == p.name || bundle == basicStore && what.prefix != "roles" || bundle == "" && replaceWritable:
		case bundle == "":
			bundle = backingStore
			fallthrough
		default:
			taken = append(taken, fmt.Sprintf("keysCannotBeOverridden: %s is already in layer %s", what.key, bundle))
		}
	}
	if len(taken) > 0 {
		return p.fault(http.StatusConflict, "New layer violates key restrictions: %s", strings.Join(taken, "\n\t"))
	}
	return nil
}

// dropObjects stages the removal of a pack's objects but for those in keep. What
// the pack had overridden comes back.
func (t *tx) dropObjects(rec *record, keep map[id]json.RawMessage) error {
	old, err := parsePack(rec.raw)
	if err != nil {
		return err
	}
	basics, err := parsePack(t.record("contents", basicStore).raw)
	if err != nil {
		return err
	}
	for _, what := range slices.Backward(old.order()) {
		if _, ok := keep[what]; ok {
			continue
		}
		if _, ok := basics.objects[what]; ok {
			err = t.restoreBasic(basics, what)
		} else {
			err = t.delete(what.prefix, what.key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) restoreBasic(basics *pack, what id) error {
	packing := t.packing
	t.packing = basicStore
	defer func() { t.packing = packing }()
	return t.putPacked(basics, what)
}

// packSummary describes a pack: how many objects it has of each type, and which of
// them are not available or do nothing.
func (t *tx) packSummary(rec *record) *models.ContentSummary {
	content := rec.head.(*models.Content)
	sum := &models.ContentSummary{Meta: content.Meta}
	sum.Fill()
	sum.Meta.Version = cmp.Or(sum.Meta.Version, "v0.0.0")
	sum.Meta.Type, sum.Meta.Overwritable = "dynamic", rec.key == basicStore
	if rec.key == basicStore {
		sum.Meta.Type = "basic"
	}
	for prefix, section := range content.Sections {
		sum.Counts[prefix] = len(section)
		if i := slices.IndexFunc(objectTypes, func(ot objectType) bool { return ot.prefix == prefix }); i >= 0 && objectTypes[i].inert != "" {
			sum.Warnings = append(sum.Warnings, prefix+" do nothing here: "+objectTypes[i].inert)
		}
		for key := range section {
			if rec := t.record(prefix, key); rec != nil && !available(rec) {
				sum.Warnings = append(sum.Warnings, errorsOf(rec.head)...)
			}
		}
	}
	for _, name := range split(sum.Meta.RequiredFeatures) {
		if slices.Contains(bootFeatures, name) {
			sum.Warnings = append(sum.Warnings, "the feature "+name+" is not there")
		}
	}
	slices.Sort(sum.Warnings)
	return sum
}

func (t *tx) backingSummary() *models.ContentSummary {
	sum := &models.ContentSummary{Meta: models.ContentMetaData{
		Name: backingStore, Description: "Objects that are in no content pack", Version: "v0.0.0", Type: "writable", Writable: true,
	}}
	sum.Fill()
	for _, ot := range objectTypes {
		for _, rec := range t.records(ot.prefix) {
			if bundleOf(rec.head) == "" {
				sum.Counts[ot.prefix]++
			}
		}
	}
	return sum
}

// bundleOf returns the name of the pack that an object is from, "" for none.
func bundleOf(m models.Model) string {
	if b, ok := m.(models.Bundler); ok {
		return b.GetBundle()
	}
	return ""
}
