package endpoint

import (
	"net/http"

	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint/jsonpatch"
)

// patchParams is patch for a profile of which nothing but params changes, none of
// them secure: it does not look at those that the patch leaves alone, which is most
// of a large profile. ok is false for all other patches.
func (t *tx) patchParams(old *record, ops jsonpatch.Patch) (rec *record, ok bool, err error) {
	head, profile := old.head.(*models.Profile)
	inside, params := ops.Inside("Params")
	if !profile || !params || !ops.Changes() || old.checked != t.s.schemas || t.mayWrite(old) != nil {
		return nil, false, nil
	}
	tree := old.tree
	if tree == nil {
		tree = jsonpatch.NewTree(old.params)
	}
	next, err := inside.ApplyTo(tree)
	if err != nil {
		return nil, true, patchError(err, old)
	}
	secure := false
	next.Changed(tree, func(name string, _ func() []byte) { secure = secure || t.secure(name) })
	if secure {
		return nil, false, nil
	}
	if err := next.CheckShape(tree, 2); err != nil {
		return nil, true, &models.Error{Model: "profiles", Code: http.StatusBadRequest, Messages: []string{err.Error()}}
	}
	rec = &record{key: old.key, head: models.Clone(head), keys: old.keys, tree: next, checked: old.checked}
	t.stamp(rec.head, old)
	if err := t.check(rec, old); err != nil {
		return nil, true, err
	}
	var faults []string
	next.Changed(tree, func(name string, value func() []byte) { faults = append(faults, t.badParam(rec, name, value)...) })
	if len(faults) > 0 {
		return nil, true, invalid(rec, faults)
	}
	t.setAvailable(rec.head)
	rec.params = next.Text()
	return rec, true, t.stageWhole(rec)
}
