package endpoint

import (
	"net"
	"net/http"
	"slices"
	"strings"

	"gitlab.com/rackn/provision/v4/models"
)

// objectType is one type of objects, by the prefix of its routes.
type objectType struct {
	prefix string
	// inert says what the endpoint cannot do with such objects. Nobody can make
	// one, but a content pack may bring some along. Empty for all others.
	inert string
	in313 bool // 3.13 has the type
}

// objectTypes are all types that DRP 4.16 lists, in that order.
var objectTypes = []objectType{
	{prefix: "activities", inert: "activities are not recorded"},
	{prefix: "alerts", inert: "alerts are not raised"},
	{prefix: "batches", inert: "work orders are not run"},
	{prefix: "blueprints"},
	{prefix: "bootenvs", in313: true},
	{prefix: "catalog_items", inert: "there is no catalog"},
	{prefix: "clusters"},
	{prefix: "contexts"},
	{prefix: "endpoints", inert: "other endpoints are not managed"},
	{prefix: "filters"},
	{prefix: "identity_providers", inert: "users come from this endpoint only"},
	{prefix: "jobs", in313: true},
	{prefix: "leases", inert: "there is no DHCP server", in313: true},
	{prefix: "machines", in313: true},
	{prefix: "params", in313: true},
	{prefix: "plugins", inert: "there are no plugins", in313: true},
	{prefix: "pools"},
	{prefix: "preferences", inert: "preferences are fixed", in313: true},
	{prefix: "profiles", in313: true},
	{prefix: "reservations", inert: "there is no DHCP server", in313: true},
	{prefix: "resource_brokers"},
	{prefix: "roles", in313: true},
	{prefix: "stages", in313: true},
	{prefix: "store_objects", inert: "there are no plugins"},
	{prefix: "subnets", inert: "there is no DHCP server", in313: true},
	{prefix: "tasks", in313: true},
	{prefix: "templates", in313: true},
	{prefix: "tenants", inert: "there is one tenant only", in313: true},
	{prefix: "trigger_providers", inert: "triggers do not fire"},
	{prefix: "triggers", inert: "triggers do not fire"},
	{prefix: "users", in313: true},
	{prefix: "ux_options"},
	{prefix: "ux_settings"},
	{prefix: "ux_views"},
	{prefix: "version_sets", inert: "other endpoints are not managed"},
	{prefix: "work_orders", inert: "work orders are not run"},
	{prefix: "workflows", in313: true},
	{prefix: "zones", inert: "there is no DNS server"},
}

// types returns the types of objects that the server has.
func (s *Server) types() []objectType {
	if !s.store.compat313 {
		return objectTypes
	}
	return slices.DeleteFunc(slices.Clone(objectTypes), func(t objectType) bool { return !t.in313 })
}

// hasParams reports whether objects of a type hold params.
func hasParams(prefix string) bool {
	m, err := models.New(prefix)
	if err != nil {
		return false
	}
	_, ok := m.(models.Paramer)
	return ok
}

// refuseObject answers POST of an object that would do nothing.
func refuseObject(ot objectType) handler {
	return func(_ http.ResponseWriter, _ *http.Request, p *principal) error {
		if err := authorize(p, ot.prefix, "create", "*"); err != nil {
			return err
		}
		return &models.Error{
			Model: ot.prefix, Type: "ValidationError", Code: http.StatusUnprocessableEntity,
			Messages: []string{"This endpoint cannot make " + ot.prefix + ": " + ot.inert},
		}
	}
}

// getObjects answers GET /objects with the types of objects.
func (s *Server) getObjects(w http.ResponseWriter, _ *http.Request, _ *principal) error {
	names := []string{}
	for _, ot := range s.types() {
		names = append(names, ot.prefix)
	}
	return writeJSON(w, http.StatusOK, names)
}

// keyMeant returns the key that a client means by the last part of a URL: itself,
// or for types that are kept by address its canonical form.
func keyMeant(prefix, key string) string {
	switch prefix {
	case "machines", "jobs":
		if !strings.Contains(key, ":") { // and so is no look-up such as Name:foo
			return strings.ToLower(key)
		}
	case "leases", "reservations":
		if ip := net.ParseIP(key); ip != nil {
			return models.Hexaddr(ip)
		}
	}
	return key
}
