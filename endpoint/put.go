package endpoint

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	puuid "github.com/pborman/uuid"
	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint/rawjson"
)

// putRaw validates and stages the object in raw, which is compact JSON.
func (t *tx) putRaw(prefix string, raw []byte) (*record, error) {
	rec, old, err := t.prepare(prefix, raw)
	if err != nil {
		return nil, err
	}
	switch {
	case old != nil:
		rec.keys = old.keys
	case rec.params != nil:
		if rec.keys, err = newKeyPair(); err != nil {
			return nil, err
		}
	}
	if err := t.sealParams(rec); err != nil {
		return nil, err
	}
	if err := t.accept(rec, old); err != nil {
		return nil, err
	}
	return rec, t.stageWhole(rec)
}

// stageWhole makes the texts of a record from its head and its params, and stages it.
func (t *tx) stageWhole(rec *record) (err error) {
	prefix := rec.head.Prefix()
	if rec.raw, err = encode(rec.head, rec.params); err != nil {
		return err
	}
	if len(rec.raw) > maxObject {
		return tooLarge(prefix)
	}
	if rec.shown, err = t.s.present(prefix, rec.raw); err != nil {
		return err
	}
	t.stage(id{prefix, rec.key}, rec)
	return nil
}

// prepare decodes an object, sets what belongs to the server and checks all but the
// params. It returns also the object that it replaces, nil if there is none.
func (t *tx) prepare(prefix string, raw []byte) (rec, old *record, err error) {
	if len(raw) > maxObject {
		return nil, nil, tooLarge(prefix)
	}
	err = rawjson.CheckShape(raw)
	var head models.Model
	var params []byte
	if err == nil {
		head, params, err = decode(prefix, raw)
	}
	if err != nil {
		return nil, nil, &models.Error{Model: prefix, Code: http.StatusBadRequest, Messages: []string{err.Error()}}
	}
	setDefaults(head)
	old = t.record(prefix, head.Key())
	if m, ok := head.(*models.Machine); ok && m.Locked && t.byUser() && old != nil && old.head.(*models.Machine).Locked {
		return nil, nil, locked(old)
	}
	if err := t.mayWrite(old); err != nil {
		return nil, nil, err
	}
	t.stamp(head, old)
	rec = &record{key: head.Key(), head: head, params: params}
	if err := t.check(rec, old); err != nil {
		return nil, nil, err
	}
	if hook := t.s.beforePut; hook != nil && (prefix == "machines" || prefix == "jobs") {
		var was models.Model
		if old != nil {
			was = models.Clone(old.head)
		}
		err = hook(t, was, head)
	}
	return rec, old, err
}

func tooLarge(prefix string) *models.Error {
	return &models.Error{
		Model: prefix, Code: http.StatusRequestEntityTooLarge,
		Messages: []string{fmt.Sprintf("The object would have more than %d bytes", maxObject)},
	}
}

// setDefaults fills what DRP fills when an object lacks it.
func setDefaults(head models.Model) {
	if u, ok := head.(*models.User); ok && u.Secret == "" {
		u.Secret = rand.Text()
	}
	if stage, ok := head.(*models.Stage); ok {
		stage.RunnerWait = true
	}
	m, ok := head.(*models.Machine)
	if !ok {
		return
	}
	if len(m.Uuid) == 0 {
		m.Uuid = puuid.Parse(uuid.NewString())
	}
	if m.Secret == "" {
		m.Secret = rand.Text()
	}
	if m.Stage == "" {
		m.Stage = "none"
	}
	if m.BootEnv == "" {
		m.BootEnv = "local"
	}
	if m.Pool == "" {
		m.Pool = "default"
	}
	if m.PoolStatus == "" {
		m.PoolStatus = models.PS_FREE
	}
}

// stamp sets the fields that belong to the server, whatever the client sent.
func (t *tx) stamp(head models.Model, old *record) {
	if m, ok := head.(*models.Machine); ok {
		if m.Meta == nil {
			m.Meta = models.Meta{}
		}
		m.Meta[roleField] = t.role
		if old != nil {
			m.Meta[roleField] = old.head.(*models.Machine).Meta[roleField]
		}
	}
	if b, ok := head.(models.Bundler); ok {
		b.SetBundle(t.packing)
	}
	a, ok := head.(models.Accessor)
	if !ok {
		return
	}
	now := time.Now().UTC()
	user := strings.TrimPrefix(t.principal, "user:")
	if u, ok := head.(*models.User); ok && !t.passwords {
		u.PasswordHash = nil
		if old != nil {
			u.PasswordHash = old.head.(*models.User).PasswordHash
		}
	}
	a.SetReadOnly(t.packing != "")
	a.SetCreatedAt(now)
	a.SetCreatedBy(user)
	if !t.byUser() {
		a.SetCreatedBy("")
	}
	a.SetLastModifiedBy("")
	if old != nil {
		was := old.head.(models.Accessor)
		a.SetCreatedAt(was.GetCreatedAt())
		a.SetCreatedBy(was.GetCreatedBy())
		a.SetLastModifiedBy(was.GetLastModifiedBy())
	}
	if t.byUser() {
		a.SetLastModifiedBy(user)
	}
	a.SetLastModifiedAt(now)
}
