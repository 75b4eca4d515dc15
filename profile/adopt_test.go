package profile_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/profile"
	"muster/profile/memory"
)

// old is what content of before left: strings, objects, strangers, and a
// member twice.
const old = `["u3","gone",{"Address":"10.0.0.1","Extra":1.50,"Name":"n1","Uuid":"u1"},{"Name":"x"},7,"u1"]`

// seedOver seeds a profile that has these params.
func seedOver(t *testing.T, seed profile.Seed, params profile.Params) (*world, error) {
	t.Helper()
	w := &world{memory.New(cluster, params), t}
	seed.Profile = cluster
	o, _ := w.operator()
	_, err := o.Write(t.Context(), seed.Plan)
	return w, err
}

func three() profile.Seed {
	return profile.Seed{Members: []string{"u1", "u2", "u3"}, Leaders: 1, MoreLeaders: true}
}

func TestLeadersOfOldContentHoldTheFirstSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, err := seedOver(t, three(), profile.Params{profile.ParamLeaders: json.RawMessage(old)})
		if err != nil {
			t.Fatal(err)
		}
		slots, err := w.Document().Slots()
		adopted := func(uuid string) profile.Slot {
			return profile.Slot{Holder: uuid, History: []profile.Transition{{Event: profile.EventAdopted, Holder: uuid, At: time.Now().Unix()}}}
		}
		if diff := cmp.Diff(map[string]profile.Slot{"1": adopted("u3"), "2": adopted("u1")}, slots[profile.Leader]); diff != "" || err != nil {
			t.Errorf("slots, %v (-want +got):\n%s", err, diff)
		}
		if got := string(w.Document().Params[profile.ParamLeaders]); got != old {
			t.Errorf("list %s, want it as it was: %s", got, old)
		}
		if n, _, err := w.Document().SlotCount(profile.Leader); n != 2 || err != nil {
			t.Errorf("count %d, %v, want 2", n, err)
		}

		// Joining leaves the slot to its member, which then claims it.
		h := w.host("u3")
		h.join()
		if got := w.held(profile.Leader, "u3"); len(got) != 1 {
			t.Fatalf("u3 holds %v after joining, want its slot", got)
		}
		if free, err := w.Document().Claimable(profile.Leader); len(free) != 0 || err != nil {
			t.Errorf("claimable for others: %v, %v, want none", free, err)
		}
		w.claimed(h, profile.Leader, "1")
		if s := w.slot(profile.Leader, "1"); s.Instance == "" || s.Epoch == 0 || len(s.History) != 2 {
			t.Errorf("slot %+v, want a tenure of u3", s)
		}
	})
}

func TestAdoptionKeepsToTheSlotCount(t *testing.T) {
	list := json.RawMessage(old)
	for name, row := range map[string]struct {
		params  profile.Params
		leaders int // --leaders, 0 is not given
		want    int
		refused string
	}{
		"more slots than leaders":    {params: profile.Params{profile.ParamLeaders: list}, leaders: 3, want: 3},
		"fewer slots are asked for":  {params: profile.Params{profile.ParamLeaders: list}, leaders: 1, refused: "names 2 of the members but there are 1 leader slots; allow 2"},
		"fewer slots are counted":    {params: profile.Params{profile.ParamLeaders: list, profile.ParamLeaderCount: json.RawMessage("1")}, refused: "names 2 of the members but there are 1 leader slots"},
		"the count that is there":    {params: profile.Params{profile.ParamLeaders: list, profile.ParamLeaderCount: json.RawMessage("5")}, want: 5},
		"no list":                    {want: 1},
		"a list of strangers":        {params: profile.Params{profile.ParamLeaders: json.RawMessage(`["gone"]`)}, want: 1},
		"null":                       {params: profile.Params{profile.ParamLeaders: json.RawMessage(`null`)}, want: 1},
		"no list at all":             {params: profile.Params{profile.ParamLeaders: json.RawMessage(`"u1"`)}, refused: "expected a list of UUIDs"},
		"a count that is no integer": {params: profile.Params{profile.ParamLeaderCount: json.RawMessage(`null`)}, refused: "expected an integer"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				seed := three()
				if row.leaders > 0 {
					seed.Leaders, seed.MoreLeaders = row.leaders, false
				}
				w, err := seedOver(t, seed, row.params)
				if row.refused != "" {
					if err == nil || !strings.Contains(err.Error(), row.refused) || w.Document().Params[profile.ParamSlots] != nil {
						t.Errorf("error %v, want %q and nothing planted", err, row.refused)
					}
					return
				}
				slots, serr := w.Document().Slots()
				if n, _, cerr := w.Document().SlotCount(profile.Leader); n != row.want || len(slots[profile.Leader]) != n || errors.Join(err, serr, cerr) != nil {
					t.Errorf("count %d with slots %v, %v, want %d", n, slots, errors.Join(err, serr, cerr), row.want)
				}
			})
		})
	}
}

func TestOnlyTheFirstSeedAdopts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, three())
		w.put(profile.At(profile.ParamLeaders), []string{"u1"})
		seed := three()
		seed.Profile = cluster
		w.does(seed.Plan)
		if w.ops().N != 0 || !w.slot(profile.Leader, "1").Free() {
			t.Errorf("slot %+v after %d writes, want it left alone", w.slot(profile.Leader, "1"), w.ops().N)
		}
	})
}

func TestAListThatChangesWhileItIsAdoptedIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{memory.New(cluster, profile.Params{profile.ParamLeaders: json.RawMessage(`["u1"]`)}), t}
		seed := three()
		seed.Profile = cluster
		o := w.between(func() { w.put(profile.At(profile.ParamLeaders), []string{"u2"}) })
		if _, err := o.Write(t.Context(), seed.Plan); err != nil {
			t.Fatal(err)
		}
		if got := w.slot(profile.Leader, "1").Holder; got != "u2" {
			t.Errorf("leader/1 is held by %q, want u2", got)
		}
	})
}

func TestASeedPlantsTheOptionsOfItsRoles(t *testing.T) {
	seed := three()
	seed.Roles = map[string]int{"db": 2, "web": 1}
	seed.Options = map[string]profile.RoleOptions{profile.Leader: {TTL: "30s"}, "db": {TTL: "1m", OnDemand: true}}
	params, err := seed.Params()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"db":{"slots":2,"ttl":"1m","on_demand":true},"leader":{"on_demand":false,"priority":{},"ttl":"30s"},"web":{"slots":1}}`
	if diff := cmp.Diff(want, string(params[profile.ParamRoles])); diff != "" {
		t.Errorf("%s (-want +got):\n%s", profile.ParamRoles, diff)
	}
	for text, options := range map[string]map[string]profile.RoleOptions{
		"role db: profile: invalid: ttl: 1s is not safe": {"db": {TTL: "1s"}},
		"found \"soon\"":                        {profile.Leader: {TTL: "soon"}},
		"options of role \"app\", which has no": {"app": {}},
	} {
		seed.Options = options
		if _, err := seed.Params(); !errors.Is(err, profile.ErrInvalid) || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want %v with %q", err, profile.ErrInvalid, text)
		}
	}
}
