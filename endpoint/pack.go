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

// packOrder is the order in which the objects of a pack are stored: declarations
// before the values that they rule.
var packOrder = []string{"params", "templates", "bootenvs", "tasks", "profiles", "stages", "workflows"}

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

// bundleOf returns the name of the pack that an object is from, "" for none.
func bundleOf(m models.Model) string {
	if b, ok := m.(models.Bundler); ok {
		return b.GetBundle()
	}
	return ""
}
