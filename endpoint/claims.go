package endpoint

import (
	"net/http"
	"slices"
	"strings"

	"gitlab.com/rackn/provision/v4/models"
)

// claim permits actions on objects of some scopes. Each part is "*" or a
// comma-separated list; an action can be narrowed as in update:/Json/Pointer
// and action:name.
type claim struct {
	Scope    string `json:"scope"`
	Action   string `json:"action"`
	Specific string `json:"specific"`
}

// permits reports whether the claim covers one action on one object.
func (c claim) permits(scope, action, specific string) bool {
	return listed(c.Scope, scope) && listed(c.Specific, specific) &&
		slices.ContainsFunc(split(c.Action), func(a string) bool { return covers(a, action) })
}

// covers reports whether a granted action includes the wanted one: update
// covers every pointer, and update:/A covers /A and what is below it.
func covers(granted, wanted string) bool {
	if granted == "*" || granted == wanted {
		return true
	}
	rest, ok := strings.CutPrefix(wanted, granted)
	return ok && rest[0] == ':' || ok && rest[0] == '/' && strings.HasPrefix(granted, "update:")
}

func listed(list, one string) bool {
	return list == "*" || slices.Contains(split(list), one)
}

func split(list string) []string {
	parts := strings.Split(list, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// principal is who sent a request.
type principal struct {
	name   string // user:NAME or runner:MACHINE, as in events
	claims []claim
	roles  []string // if any, a user's token that is limited to these
}

// can reports whether p may do action on the object of the given scope.
func (p *principal) can(scope, action, specific string) bool {
	return slices.ContainsFunc(p.claims, func(c claim) bool { return c.permits(scope, action, specific) })
}

// mayDoSome reports whether p may do action on any object of the scope.
func (p *principal) mayDoSome(scope, action string) bool {
	return slices.ContainsFunc(p.claims, func(c claim) bool {
		c.Specific = "*"
		return c.permits(scope, action, "")
	})
}

// authorize returns DRP's 403 error if p may not do action. For reads, callers
// answer as if the object were absent instead.
func authorize(p *principal, scope, action, specific string) error {
	if p.can(scope, action, specific) {
		return nil
	}
	return &models.Error{
		Model: scope, Key: specific, Type: "AUTH", Code: http.StatusForbidden,
		Messages: []string{"Cannot access URL", "Requires: " + scope + " " + action + " " + specific},
	}
}
