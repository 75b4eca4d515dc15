package endpoint

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint/rawjson"
)

// Clusters and resource brokers are machines that say so in their Meta, as in DRP:
// GET /machines has them too, and their events are those of machines as well. A
// claim for machines is good for them, and one for clusters for them only.

// roleField is the field of Meta that says what a machine is.
const roleField = "machine-role"

// machineRoles are the roles of what is kept as machines, by prefix.
var machineRoles = map[string]string{"clusters": "cluster", "resource_brokers": "resource-broker"}

// roleContext is the context in which the tasks of a new one run.
const roleContext = "drpcli-runner"

// groupField is the field of a profile's Meta that holds the UUID of the cluster or
// resource broker that it was made for and is removed with.
const groupField = "muster-group-of"

// role is one of machineRoles.
type role struct {
	*Server
	prefix, name string
}

// routes are those of machines, and those of the params of the group's profile.
func (ro role) routes() []route {
	base := "/" + ro.prefix
	one := base + "/{key}"
	all := []route{
		{"GET", base, ro.as(ro.listObjects("machines"))},
		{"POST", base, ro.create},
		{"GET", one, ro.as(ro.getObject("machines"))},
		{"PUT", one, ro.as(ro.putObject("machines"))},
		{"PATCH", one, ro.as(ro.patchObject("machines"))},
		{"DELETE", one, ro.as(ro.remove)},
		{"DELETE", one + "/cleanup", ro.as(ro.remove)},
		{"GET", one + "/token", ro.as(ro.getMachineToken)},
	}
	below := append(ro.paramRoutes("machines"), ro.machineVerbs("machines")...)
	for _, rt := range below {
		if !strings.HasSuffix(rt.path, "/cleanup") {
			all = append(all, route{rt.method, base + strings.TrimPrefix(rt.path, "/machines"), ro.as(rt.handle)})
		}
	}
	for _, rt := range ro.paramRoutes("profiles") {
		path := one + "/group" + strings.TrimPrefix(rt.path, "/profiles/{key}")
		all = append(all, route{rt.method, path, ro.asGroup(rt.handle)})
	}
	return all
}

// find returns the record of the cluster or resource broker that a key means.
func (ro role) find(t *tx, key string) *record {
	rec := t.find("machines", key)
	if rec == nil || rec.head.(*models.Machine).Meta[roleField] != ro.name {
		return nil
	}
	return rec
}

// as answers a request by the handler of a route of machines, which sees only those
// of the role.
func (ro role) as(handle handler) handler {
	return func(w http.ResponseWriter, r *http.Request, p *principal) error {
		inner := *p
		err := ro.store.view(func(t *tx) error {
			if key := r.PathValue("key"); key != "" && ro.find(t, key) == nil {
				return notFound(ro.prefix, key)
			}
			inner.claims = ro.claims(t, p)
			return nil
		})
		if err == nil {
			err = handle(w, r, &inner)
		}
		if e, ok := errors.AsType[*models.Error](err); ok && e.Model == "machines" {
			shown := *e
			shown.Model = ro.prefix
			return &shown
		}
		return err
	}
}

// claims are what p may do with machines of the role, as claims for machines.
func (ro role) claims(t *tx, p *principal) (claims []claim) {
	keys := []string{}
	for _, rec := range t.records("machines") {
		if rec.head.(*models.Machine).Meta[roleField] == ro.name {
			keys = append(keys, rec.key)
		}
	}
	for _, c := range p.claims {
		if !listed(c.Scope, ro.prefix) && !listed(c.Scope, "machines") {
			continue
		}
		some := slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return !listed(c.Specific, key) })
		if len(some) > 0 {
			claims = append(claims, claim{"machines", c.Action, strings.Join(some, ",")})
		}
	}
	return claims
}

// asGroup answers a request by the handler of a route of profiles, for the profile
// of the group. Who has a claim for clusters may do as much with its params.
func (ro role) asGroup(handle handler) handler {
	return func(w http.ResponseWriter, r *http.Request, p *principal) error {
		inner := *p
		err := ro.store.view(func(t *tx) error {
			key := r.PathValue("key")
			rec := ro.find(t, key)
			if rec == nil {
				return notFound(ro.prefix, key)
			}
			group := t.group(rec)
			if group == nil {
				return notFound("profiles", nameOf(rec.head))
			}
			r.SetPathValue("key", group.key)
			inner.claims = slices.Clone(p.claims)
			if !madeFor(group, rec.key) {
				return nil // it was there before: only its own claims count
			}
			for _, c := range p.claims {
				if listed(c.Scope, ro.prefix) && listed(c.Specific, rec.key) {
					inner.claims = append(inner.claims, claim{"profiles", c.Action, group.key})
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		return handle(w, r, &inner)
	}
}

// group returns the profile that was made for a cluster or resource broker, or
// else the one of the same name that it carries.
func (t *tx) group(rec *record) (group *record) {
	m := rec.head.(*models.Machine)
	for _, name := range m.Profiles {
		profile := t.record("profiles", name)
		if profile != nil && madeFor(profile, rec.key) {
			return profile
		}
		if name == m.Name {
			group = profile
		}
	}
	return group
}

func madeFor(profile *record, uuid string) bool {
	return profile.head.(*models.Profile).Meta[groupField] == uuid
}

// create answers POST. A profile of the same name is made from the params and
// profiles of the body, and added; one that exists already is added as it is, and
// stays when the cluster goes.
func (ro role) create(w http.ResponseWriter, r *http.Request, p *principal) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	head, params, err := decode("machines", body)
	if err != nil {
		return badRequest(err.Error())
	}
	setDefaults(head)
	m := head.(*models.Machine)
	if err := authorize(p, ro.prefix, "create", m.Key()); err != nil {
		return err
	}
	if body, err = ro.complete(body, m); err != nil {
		return err
	}
	var rec *record
	err = ro.store.update(p.name, func(t *tx) error {
		if t.record("machines", m.Key()) != nil {
			return &models.Error{Model: ro.prefix, Key: m.Key(), Type: "CREATE", Code: http.StatusConflict, Messages: []string{"already exists"}}
		}
		if t.record("profiles", m.Name) == nil {
			if body, err = t.makeGroup(p, m, body, params); err != nil {
				return err
			}
		}
		t.role = ro.name
		rec, err = t.putRaw("machines", body)
		return err
	})
	if err != nil {
		return err
	}
	return ro.writeRecord(w, http.StatusCreated, rec)
}

// complete returns the body of a new object with what the server adds to m.
func (ro role) complete(body []byte, m *models.Machine) ([]byte, error) {
	m.Meta[roleField] = ro.name
	if m.Context == "" {
		m.Context = roleContext
	}
	if !slices.Contains(m.Profiles, m.Name) {
		m.Profiles = append(m.Profiles, m.Name)
	}
	for name, value := range map[string]any{"Uuid": m.Key(), "Meta": m.Meta, "Context": m.Context, "Profiles": m.Profiles} {
		raw, err := json.Marshal(value)
		if err == nil {
			body, err = rawjson.Set(body, name, raw)
		}
		if err != nil {
			return nil, err
		}
	}
	return body, nil
}

// remove answers DELETE. The profile that was made for it goes too, unless others
// carry it still.
func (ro role) remove(w http.ResponseWriter, r *http.Request, p *principal) error {
	var rec *record
	err := ro.store.update(p.name, func(t *tx) (err error) {
		if rec, err = t.writable(p, "machines", r.PathValue("key"), "delete"); err != nil {
			return err
		}
		group := t.group(rec)
		if err := t.delete("machines", rec.key); err != nil {
			return err
		}
		if group == nil || !madeFor(group, rec.key) || len(t.usersOf(group)) > 0 {
			return nil
		}
		return t.delete("profiles", group.key)
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, json.RawMessage(rec.shown))
}

// publishRoles publishes the change of a machine that is a cluster or resource
// broker also as a change of that.
func (h *hub) publishRoles(c change) {
	if c.Type != "machines" {
		return
	}
	var name string
	_ = json.Unmarshal(rawjson.Lookup(rawjson.Lookup(c.Object, "Meta"), roleField), &name)
	for prefix, role := range machineRoles {
		if role == name {
			c.Type = prefix
			h.publish(c)
		}
	}
}
