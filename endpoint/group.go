package endpoint

import (
	"bytes"
	"encoding/json"
	"slices"

	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint/rawjson"
)

// outsideField is the field of Meta by which a param's declaration or a profile says
// that it stays on a new cluster (wire contract, section 3).
const outsideField = "no-cluster"

// makeGroup makes the profile of a new cluster or resource broker m, which has the
// JSON body with these params, and returns the body without what is in the profile
// now: members inherit that. Profiles that p may not read stay on the cluster, as
// mayInherit wants it.
func (t *tx) makeGroup(p *principal, m *models.Machine, body, params []byte) ([]byte, error) {
	group := &models.Profile{Name: m.Name}
	group.Fill()
	group.Meta[groupField] = m.Key()
	kept := []string{}
	for _, name := range m.Profiles {
		// What is not there stays for the check of the machine to refuse.
		if rec := t.record("profiles", name); rec == nil || outside(rec.head.(*models.Profile).Meta) || !p.can("profiles", "get", name) {
			kept = append(kept, name)
		} else if !slices.Contains(group.Profiles, name) {
			group.Profiles = append(group.Profiles, name)
		}
	}
	own, shared := new(bytes.Buffer), new(bytes.Buffer)
	err := rawjson.Each(params, func(name string, value []byte) {
		into := shared
		if decl := t.record("params", name); decl != nil && outside(decl.head.(*models.Param).Meta) {
			into = own
		}
		rawjson.WriteMember(into, name, value)
	})
	if err != nil {
		return nil, err
	}
	rawjson.EndObject(own)
	rawjson.EndObject(shared)
	raw, err := json.Marshal(group)
	if err != nil {
		return nil, err
	}
	if raw, err = rawjson.Set(raw, "Params", shared.Bytes()); err != nil {
		return nil, err
	}
	if _, err := t.putRaw("profiles", raw); err != nil {
		return nil, err
	}
	if body, err = rawjson.Set(body, "Params", own.Bytes()); err != nil {
		return nil, err
	}
	names, err := json.Marshal(kept)
	if err != nil {
		return nil, err
	}
	return rawjson.Set(body, "Profiles", names)
}

func outside(meta models.Meta) bool { return meta[outsideField] == "true" }
