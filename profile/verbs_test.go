package profile_test

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/profile"
	"muster/profile/memory"
)

// fields are fields that are unknown to us, beside those that the verbs write.
var fields = map[profile.Pointer]string{
	profile.At(profile.ParamSlots, profile.Leader, "1", "note"): `1.50`,
	profile.At(profile.ParamMembers, "u1", "note"):              `[1.0,null]`,
	profile.At(profile.ParamExpected, "note"):                   `"kept"`,
	profile.At(profile.ParamRoles, "db", "note"):                `2.0`,
}

// foreign is a param of somebody else's, which stays byte for byte.
const foreign = `{"b": 1.0,"a":"<"}`

// lived returns a world of members u1, u2 and u3 that have joined, of which u1
// holds leader/1 and db/1 and is asked to take leader/2, and u3 is barred from
// db, with fields that are unknown to us.
func lived(t *testing.T) (*world, map[string]*host) {
	t.Helper()
	w := seeded(t, profile.Seed{
		Members: []string{"u1", "u2", "u3"}, Leaders: 2, Roles: map[string]int{"db": 1},
		Options: map[string]profile.RoleOptions{
			profile.Leader: {Priority: map[string]int{"u2": 5}},
			"db":           {Priority: map[string]int{"u1": 7, "u3": 0}},
		},
	})
	hosts := map[string]*host{}
	for _, uuid := range []string{"u1", "u2", "u3"} {
		hosts[uuid] = w.host(uuid)
		hosts[uuid].join()
		w.put(profile.At(profile.ParamFacts, uuid), "facts of "+uuid)
	}
	w.claimed(hosts["u1"], profile.Leader, "1")
	w.claimed(hosts["u1"], "db", "1")
	w.put(profile.At(profile.ParamSlots, profile.Leader, "2", "wanted"), "u1")
	w.put(profile.At(profile.ParamMembers, "u3", "barred", "db"), "once")
	for p, raw := range fields {
		w.put(p, json.RawMessage(raw))
	}
	all := maps.Clone(w.Document().Params)
	all["site/own"] = json.RawMessage(foreign)
	w.Replace(all)
	return w, hosts
}

// claimed has the host take the slot.
func (w *world) claimed(h *host, role, slot string) {
	w.t.Helper()
	_, n := h.view.Latest()
	h.view.Put(w.Document(), n)
	_, err := h.Write(w.t.Context(), func(d *profile.Document) (*profile.Change, error) {
		if s := w.slot(role, slot); s.Holder == h.uuid && s.Instance != "" {
			return nil, nil
		}
		return profile.Claim(d, profile.Tenure{Role: role, Slot: slot, Instance: h.State().Instance}, h.uuid, "")
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// slot returns one slot as it is in the profile.
func (w *world) slot(role, number string) profile.Slot {
	w.t.Helper()
	slots, err := w.Document().Slots()
	if err != nil {
		w.t.Fatal(err)
	}
	return slots[role][number]
}

// does carries plan out, or fails the test.
func (w *world) does(plan profile.Plan) {
	w.t.Helper()
	o, s := w.operator()
	if _, err := o.Write(w.t.Context(), plan); err != nil {
		w.t.Fatal(err)
	}
	s.Settle()
}

// refuses wants plan refused with this error and text, and nothing written.
func (w *world) refuses(want error, text string, plan profile.Plan) {
	w.t.Helper()
	version := w.Document().Version
	o, _ := w.operator()
	_, err := o.Write(w.t.Context(), plan)
	if !errors.Is(err, want) || !strings.Contains(err.Error(), text) || w.Document().Version != version {
		w.t.Errorf("error %v, version %s after %s, want %v with %q and nothing written", err, w.Document().Version, version, want, text)
	}
}

// verbs are the changes of operators.
func verbs() map[string]profile.Plan {
	return map[string]profile.Plan{
		"transfer":       profile.Transfer{Role: profile.Leader, Slot: "1", To: "u2"}.Plan,
		"evict a member": profile.Evict{Member: "u1", Reason: "r"}.Plan,
		"evict a slot":   profile.Evict{Member: "u1", Role: "db", Slot: "1", Reason: "r"}.Plan,
		"evict by force": profile.Evict{Member: "u1", Reason: "r", Force: true}.Plan,
		"allow":          profile.Allow{Member: "u3", Role: "db"}.Plan,
		"forget":         profile.Forget{Member: "u1", Force: true}.Plan,
		"replace":        profile.Replace{Old: "u1", New: "u4", Force: true}.Plan,
		"pause":          profile.Pause(true),
		"grow":           profile.Scale{Role: profile.Leader, Slots: 5}.Plan,
		"shrink":         profile.Scale{Role: "db", Slots: 0}.Plan,
	}
}

// Whatever is lost, a verb is carried out once; carried out again, it finds its
// work done; and what it does not know it leaves alone.
func TestAVerbIsCarriedOutOnceAndLeavesAloneWhatItDoesNotKnow(t *testing.T) {
	for name, plan := range verbs() {
		for how, fault := range map[string]memory.Fault{
			"nothing lost": {}, "reply lost": {LoseReply: true}, "request lost": {LoseRequest: true}, "late": {Delay: memory.Timeout + 5*time.Second},
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w, _ := lived(t)
					o, s := w.operator(fault)
					if _, err := o.Write(t.Context(), plan); err != nil {
						t.Fatal(err)
					}
					s.Settle()
					first := w.Document().Params
					if w.ops().N != 1 {
						t.Errorf("%d writes, want one", w.ops().N)
					}
					w.does(plan)
					if diff := cmp.Diff(first, w.Document().Params); diff != "" {
						t.Errorf("carried out again (-first +second):\n%s", diff)
					}
					if got := string(w.Document().Params["site/own"]); got != foreign {
						t.Errorf("somebody else's param is %s, want it left alone: %s", got, foreign)
					}
					for p, raw := range fields {
						got, ok := w.Document().Lookup(p)
						if !ok || string(got) != raw {
							t.Errorf("%s is %s, want it left alone: %s", p, got, raw)
						}
					}
				})
			})
		}
	}
}
