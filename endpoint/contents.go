package endpoint

import (
	"cmp"
	"net/http"
	"slices"

	"gitlab.com/rackn/provision/v4/models"
)

// The routes of content packs; pack.go has the packs themselves.

const (
	// basicStore is the pack of what every DRP endpoint has. Other packs may
	// override its objects, which come back when those packs go.
	basicStore = "BasicStore"
	// backingStore stands for the objects that are in no pack.
	backingStore = "BackingStore"

	maxPackBody = maxObject
)

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
