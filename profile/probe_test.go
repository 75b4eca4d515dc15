package profile_test

import (
	"context"
	"errors"
	"testing"

	"muster/profile"
	"muster/profile/memory"
)

// careless carries out patches whatever their tests say, as an endpoint that
// evaluates them without a lock may.
type careless struct {
	profile.Store
}

func (s careless) Apply(ctx context.Context, c *profile.Change) (*profile.Document, error) {
	bare := &profile.Change{}
	ops, err := c.Ops()
	if err != nil {
		return nil, err
	}
	for _, op := range ops {
		if op.Op == "add" {
			bare.Set(op.Path, op.Value)
		}
	}
	return s.Store.Apply(ctx, bare)
}

func TestAProbeFindsWritesThatAreNotGuarded(t *testing.T) {
	p := memory.New("c1", profile.Params{profile.ParamProfile: []byte(`"c1"`)})
	var sound, broken []profile.Store
	for range 4 {
		sound = append(sound, p.Store(nil))
		broken = append(broken, careless{Store: p.Store(nil)})
	}
	if err := profile.Probe(t.Context(), sound, 5); err != nil {
		t.Errorf("of a sound store: %v", err)
	}
	if err := profile.Probe(t.Context(), broken, 5); !errors.Is(err, profile.ErrNotAtomic) {
		t.Errorf("of one that does not hold to tests: %v", err)
	}
	refusing := append(sound, p.Store(func(memory.Call) memory.Fault { return memory.Fault{Refuse: profile.ErrRefused} }))
	if err := profile.Probe(t.Context(), refusing, 1); !errors.Is(err, profile.ErrRefused) {
		t.Errorf("of one that refuses: %v", err)
	}
}
