package profile

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Edit is a change of one param of the cluster's own data, by whoever writes it:
// its Plan is for a Member and for an Operator (ADR 9).
type Edit struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value,omitempty"` // nil takes the param away
	// New: only if the param is not there; null counts as absent.
	New bool `json:"new,omitempty"`
	// Ref, unless it is nil, is what the param must hold.
	Ref json.RawMessage `json:"ref,omitempty"`
	// Tenure, unless it is nil, must last: as its holder was told, never as read
	// (DESIGN, rule 7).
	Tenure *Tenure `json:"tenure,omitempty"`
}

// Check refuses what makes no sense to write, or what the profile must not hold.
// Its errors are ErrInvalid and do not repeat the value.
func (e Edit) Check() error {
	if err := checkKey(e.Key); err != nil {
		return err
	}
	if hint := contracted(e.Key); hint != "" {
		return fmt.Errorf("%w: key: expected a param of your own, found %q, which is Muster's: %s", ErrInvalid, e.Key, hint)
	}
	if e.New && (e.Ref != nil || e.Value == nil) {
		return fmt.Errorf("%w: a param that is to be added has a value, and none before", ErrInvalid)
	}
	for _, part := range []struct {
		name string
		raw  json.RawMessage
	}{{"value", e.Value}, {"ref", e.Ref}} {
		if part.raw == nil {
			continue
		}
		if err := checkValue(part.raw); err != nil {
			return fmt.Errorf("%w: %s of %s: %w", ErrInvalid, part.name, e.Key, err)
		}
	}
	return nil
}

// Plan decides the edit on d. ErrLost: the param is not as it must be, or the
// tenure has ended; nothing was changed. ErrInvalid: its guard cannot be had.
func (e Edit) Plan(d *Document) (*Change, error) {
	c, err := e.underTenure(d)
	if err != nil {
		return nil, err
	}
	if err := e.guard(c, d); err != nil {
		return nil, err
	}
	found, there := d.Params[e.Key]
	switch {
	case e.Value == nil && !there:
		return nil, nil
	case e.Value == nil:
		c.Remove(At(e.Key))
	case e.Tenure == nil && there && SameJSON(found, e.Value):
		return nil, nil // a write costs everybody the whole profile (DESIGN, rule 8)
	case isSealed(found) && !isSealed(e.Value):
		return nil, fmt.Errorf("%w: %s holds a sealed value, but this token does not see that its param is declared secure: a value in clear is not put in its place", ErrInvalid, e.Key)
	default:
		c.Set(At(e.Key), e.Value)
	}
	return c, nil
}

// underTenure returns a change that depends on the tenure, if there is one.
func (e Edit) underTenure(d *Document) (*Change, error) {
	if e.Tenure == nil {
		return &Change{}, nil
	}
	t := *e.Tenure
	s, err := d.slot(t.Role, t.Slot)
	if err != nil {
		return nil, err
	}
	if !t.Names(s) {
		return nil, fmt.Errorf("%w: slot %s/%s is not held in epoch %d by instance %.8s any more; nothing was changed", ErrLost, t.Role, t.Slot, t.Epoch, t.Instance)
	}
	return t.Guard(), nil
}

// guard makes c depend on what the param must be.
func (e Edit) guard(c *Change, d *Document) error {
	found, there := d.Params[e.Key]
	null := there && isNull(found)
	switch {
	case e.New && there && !null:
		return fmt.Errorf("%w: %s is there already: %s; nothing was changed", ErrLost, e.Key, shown(found))
	case e.New && null:
		c.TestAsRead(d, At(e.Key))
	case e.New:
		c.TestNames(d)
	case e.Ref == nil:
	case !there || null:
		return fmt.Errorf("%w: %s is not set, and was to be %s; nothing was changed", ErrLost, e.Key, clip(e.Ref))
	case isSealed(found) || isSealed(e.Value):
		return fmt.Errorf("%w: %s is sealed, and every sealing of a value differs: it cannot be guarded by --ref; guard another param, as a version beside it, or use `muster add`", ErrInvalid, e.Key)
	case !SameJSON(found, e.Ref):
		return fmt.Errorf("%w: %s is %s, not %s; nothing was changed", ErrLost, e.Key, shown(found), clip(e.Ref))
	default:
		c.TestAsRead(d, At(e.Key))
	}
	return nil
}

// Sealed returns e with its value sealed if the param is declared secure, and
// whether it is. A value that is sealed already is ErrInvalid: for whom is not
// known.
func (e Edit) Sealed(ctx context.Context, s Sealer) (Edit, bool, error) {
	if e.Value == nil {
		return e, false, nil
	}
	if isSealed(e.Value) {
		return e, false, fmt.Errorf("%w: value of %s: it has the shape of a sealed one; give the value in clear, it is sealed here", ErrInvalid, e.Key)
	}
	secure, err := s.Secure(ctx, e.Key)
	if err != nil || !secure {
		return e, false, err
	}
	if e.Value, err = s.Seal(ctx, e.Value); err != nil {
		return e, true, fmt.Errorf("seal %s: %w", e.Key, err)
	}
	return e, true, nil
}

// Get returns the value of one param. ErrUnset: there is none; null counts as
// none. A secure one is ErrInvalid unless it is to be decoded.
func Get(ctx context.Context, s Store, key string, decode bool) (json.RawMessage, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	secure, err := s.Secure(ctx, key)
	if err != nil {
		return nil, err
	}
	var raw json.RawMessage
	if decode {
		raw, err = s.ReadOpened(ctx, key)
	} else {
		var params Params
		params, err = s.ReadParams(ctx, key)
		raw = params[key]
	}
	switch {
	case err != nil:
		return nil, err
	case raw == nil || isNull(raw):
		return nil, fmt.Errorf("%w: %s", ErrUnset, key)
	case !decode && (secure || isSealed(raw)):
		return nil, fmt.Errorf("%w: %s is a secure param: ask for its value with --decode", ErrInvalid, key)
	}
	return raw, nil
}

// paramName is DRP's rule (wire contract, section 3), without its blank ends.
var paramName = regexp.MustCompile(`^\pL[\pL\pN\-_./ ]*[\pL\pN\-_./]$`)

const longestKey = 256

func checkKey(key string) error {
	if !paramName.MatchString(key) || len(key) > longestKey {
		return fmt.Errorf("%w: key: expected the name of a param, a letter and then letters, digits, or any of - _ . / and spaces, 2 to %d bytes, found %q", ErrInvalid, longestKey, clip(json.RawMessage(key)))
	}
	if parts := strings.Split(key, "/"); slices.Contains(parts, "") || slices.Contains(parts, ".") || slices.Contains(parts, "..") {
		return fmt.Errorf("%w: key: %q cannot be part of a URL: none of its parts may be empty, or dots alone", ErrInvalid, key)
	}
	return nil
}

// contracted says what writes a param that the contract gives a meaning; "" if it
// gives it none.
func contracted(key string) string {
	verbs := map[string]string{
		ParamProfile:     "it is the profile's own name, and stays so",
		ParamFilter:      "it is planted by `muster seed`",
		ParamLeaderCount: "use `muster scale leader N`",
		ParamLeaders:     "the leaders keep it; use `muster transfer` or `muster evict`",
		ParamEscape:      "use `muster escape`",
		ParamPaused:      "use `muster pause` or `muster resume`",
		ParamRound:       "use `muster round`",
		ParamRoles:       "use `muster scale`",
		ParamSlots:       "use `muster transfer`, `muster evict` or `muster resign`",
	}
	if hint, ok := verbs[key]; ok {
		return hint
	}
	if strings.HasPrefix(key, "muster/") {
		return "its own commands write it, see `muster --help`"
	}
	return ""
}
