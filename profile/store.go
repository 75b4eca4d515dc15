package profile

import (
	"context"
	"encoding/json"
	"maps"
	"time"

	"muster/internal/rawjson"
)

// Store reads and changes one shared profile. Implementations are safe for
// concurrent use, bound every call by ctx, and return the sentinel errors of
// this package. No call is ever sent twice by a Store.
type Store interface {
	// Read returns the whole profile.
	Read(ctx context.Context) (*Document, error)

	// ReadParams returns the named params that are present, and nothing else.
	ReadParams(ctx context.Context, names ...string) (Params, error)

	// Apply applies c, all or none, in one atomic step, and returns the
	// profile as it is right after. ErrConflict: a test did not hold.
	// ErrUnknownOutcome: it may have been applied, now or later.
	Apply(ctx context.Context, c *Change) (*Document, error)

	// Changed returns as soon as the profile's version differs from since, or
	// when wait has passed, with the version that it has then. An empty since
	// asks for the present version. It returns "" where the endpoint has no
	// versions: the caller polls.
	Changed(ctx context.Context, since string, wait time.Duration) (string, error)

	// ReadChanged is Changed and Read in one: it returns the whole profile as
	// soon as its version differs from since, which is not empty, and nil when
	// wait has passed before.
	ReadChanged(ctx context.Context, since string, wait time.Duration) (*Document, error)

	Sealer
}

// Sealer deals with secure params, whose values are sealed for the profile: only
// the endpoint opens them.
type Sealer interface {
	// Secure reports whether the param key is declared secure. A declaration that
	// the token may not see looks as if there was none (wire contract, fact 3).
	Secure(ctx context.Context, key string) (bool, error)

	// Seal returns value sealed with the public key of the profile, as it is to be
	// written. No two sealings of a value are the same.
	Seal(ctx context.Context, value json.RawMessage) (json.RawMessage, error)

	// ReadOpened returns the param key, opened if it is sealed; nil if there is
	// none. It needs a token that may read secure params.
	ReadOpened(ctx context.Context, key string) (json.RawMessage, error)
}

// Params are params of the profile by name, as raw JSON.
type Params map[string]json.RawMessage

// Document is one state of the profile. It is not changed after it is handed
// out; decoding is done by the accessors, on demand. What they return may be
// shared: it must not be changed either.
type Document struct {
	Name   string
	Params Params
	// Version is the endpoint's opaque version (ETag) of this state, or "".
	Version string
	// Date is the endpoint's clock at the answer (one-second grain). It only
	// ever raises epochs; nothing expires by it.
	Date time.Time

	memo *memo // of the view that the state is in, or nil
}

// With returns a copy of d in which the params of newer take the place of
// d's. A param in names that newer lacks is absent in the copy.
func (d *Document) With(newer Params, names []string) *Document {
	c := *d
	c.Params = make(Params, len(d.Params)+len(names))
	maps.Copy(c.Params, d.Params)
	for _, n := range names {
		if raw, ok := newer[n]; ok {
			c.Params[n] = raw
		} else {
			delete(c.Params, n)
		}
	}
	return &c
}

// Lookup returns the raw JSON at p, and whether there is any. It looks into
// objects, not into arrays; "" is all params.
func (d *Document) Lookup(p Pointer) (json.RawMessage, bool) {
	if p == "" {
		raw, err := json.Marshal(d.Params)
		return raw, err == nil
	}
	parts := p.Parts()
	raw, ok := d.Params[parts[0]]
	for i, part := range parts[1:] {
		if !ok {
			return nil, false
		}
		var object map[string]json.RawMessage
		var err error
		if i == 0 {
			object, err = decode[map[string]json.RawMessage](d, parts[0], "an object")
		} else {
			object, err = rawjson.Object(raw)
		}
		if err != nil {
			return nil, false
		}
		raw, ok = object[part]
	}
	return raw, ok
}
