package profile_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"muster/profile"
	"muster/profile/memory"
)

func TestAnUpdateAddsWhoIsNewAndOverwritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := lived(t) // u1, u2 and u3 have joined
		w.host("u4").join()
		before := w.Document()
		seed := profile.Seed{Profile: cluster, Filter: "Name Re ^u", Members: []string{"u5", "u3", "u2", "u4"}, Leaders: 7,
			MemberRoles: map[string][]string{"front": {"u4", "of no member", "u5"}}}
		w.does(profile.Update(seed).Plan)

		d := w.Document()
		expected, err := d.Expected()
		want := profile.Expected{Version: 2, Round: 1, Count: 5, Members: []string{"u1", "u2", "u3", "u5", "u4"}, Roles: map[string][]string{"front": {"u4", "u5"}}}
		if diff := cmp.Diff(want, expected); diff != "" || err != nil {
			t.Errorf("expected, %v (-want +got):\n%s", err, diff)
		}
		if diff := cmp.Diff(profile.EmptyRecord([]string{"db", profile.Leader}), w.record("u5"), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("record of who is new (-want +got):\n%s", diff)
		}
		for _, p := range []profile.Pointer{profile.At(profile.ParamMembers, "u1"), profile.At(profile.ParamMembers, "u4"), profile.At(profile.ParamSlots),
			profile.At(profile.ParamBarriers), profile.At(profile.ParamLeaderCount), profile.At(profile.ParamRound)} {
			was, _ := before.Lookup(p)
			if is, _ := d.Lookup(p); string(is) != string(was) {
				t.Errorf("%s is %s, was %s", p, is, was)
			}
		}
		if gone, err := profile.Update(seed).Gone(d); err != nil || !slices.Equal(gone, []string{"u1"}) {
			t.Errorf("gone are %v, %v, want u1", gone, err)
		}
		if filter := string(d.Params[profile.ParamFilter]); filter != `"Name Re ^u"` {
			t.Errorf("filter %s", filter)
		}
		w.does(profile.Update(seed).Plan)
		if got := w.Document().Version; got != d.Version {
			t.Errorf("an update again wrote: version %s, was %s", got, d.Version)
		}
	})
}

// Sheets that are published from now on fit the longer list.
func TestAnUpdateLowersTheBudgetOfFactSheets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, two())
		var members []string
		for i := range 1000 {
			members = append(members, "u"+number(i))
		}
		w.does(profile.Update{Profile: cluster, Members: members}.Plan)
		if budget, err := w.Document().FactsBudget(); budget != 262 || err != nil {
			t.Errorf("budget %d, %v, want 262", budget, err)
		}
	})
}

func TestWorkflowsOfRolesAreSetOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seed := two()
		seed.Profile, seed.Workflows = cluster, map[string]string{profile.Leader: "server", profile.Worker: "agent"}
		w := seeded(t, seed)
		w.put(profile.At(profile.ParamWorkflows, "site"), "kept")
		seed.Workflows = map[string]string{profile.Leader: "server-2"}
		w.does(profile.Update(seed).Plan)
		if got := string(w.Document().Params[profile.ParamWorkflows]); got != `{"leader":"server-2","site":"kept","worker":"agent"}` {
			t.Errorf("workflows %s", got)
		}
	})
}

func TestParamsOfOthersArePlantedOnlyWhereTheyAreAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{memory.New(cluster, profile.Params{"site/a": json.RawMessage(`"kept"`)}), t}
		seed := two()
		seed.Profile, seed.Others = cluster, profile.Params{"site/a": json.RawMessage(`1`), "cluster/tags": json.RawMessage(`["x"]`)}
		w.does(seed.Plan)
		w.does(seed.Plan)
		for name, want := range map[string]string{"site/a": `"kept"`, "cluster/tags": `["x"]`} {
			if got := string(w.Document().Params[name]); got != want {
				t.Errorf("%s is %s, want %s", name, got, want)
			}
		}
		if n := w.ops().N; n != 0 {
			t.Errorf("%d writes after the first", n)
		}
	})
}

func TestRolesAndParamsOfASeedThatMakeNoSenseAreRefused(t *testing.T) {
	for name, edit := range map[string]func(*profile.Seed){
		"self-seeded and named":  func(s *profile.Seed) { s.Expect = 3 },
		"a negative count":       func(s *profile.Seed) { s.Expect, s.Members = -1, nil },
		"members of role leader": func(s *profile.Seed) { s.MemberRoles = map[string][]string{profile.Leader: {"u1"}} },
		"members of role worker": func(s *profile.Seed) { s.MemberRoles = map[string][]string{profile.Worker: {"u1"}} },
		"members of a role of slots": func(s *profile.Seed) {
			s.Roles, s.MemberRoles = map[string]int{"db": 1}, map[string][]string{"db": {"u1"}}
		},
		"a role of nobody expected":     func(s *profile.Seed) { s.MemberRoles = map[string][]string{"front": {"u9"}} },
		"a workflow of an unknown role": func(s *profile.Seed) { s.Workflows = map[string]string{"front": "w"} },
		"a barrier of an unknown role":  func(s *profile.Seed) { s.Criteria.Role = "front" },
		"a param of the contract":       func(s *profile.Seed) { s.Others = profile.Params{profile.ParamSlots: nil} },
		"a break-out":                   func(s *profile.Seed) { s.Others = profile.Params{profile.ParamEscape: nil} },
	} {
		seed := two()
		edit(&seed)
		if _, err := seed.Params(); !errors.Is(err, profile.ErrInvalid) {
			t.Errorf("%s: error %v, want %v", name, err, profile.ErrInvalid)
		}
	}
}

// Many agents that start at once conflict with one another, and all get in.
func TestASelfSeededClusterFillsUpToItsCountAndNoFurther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const count = 20
		w := &world{memory.New(cluster, nil), t}
		w.does(profile.Seed{Profile: cluster, Expect: count, Leaders: 1}.Plan)
		hosts, errs := []*host{}, make(chan error, count)
		for i := range count {
			h := w.host("u" + number(i))
			h.faults = func(memory.Call) memory.Fault { return memory.Fault{Delay: 5 * time.Millisecond} }
			hosts = append(hosts, h)
		}
		start := time.Now()
		for _, h := range hosts {
			go func() { _, err := h.Join(t.Context(), h.joining()); errs <- err }()
		}
		for range hosts {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		sent, most := 0, 0
		for _, h := range hosts {
			sent, most = sent+h.calls["Apply"], max(most, h.calls["Apply"])
		}
		t.Logf("%d joined in %s with %d patches, at most %d of one", count, time.Since(start), sent, most)

		w.host("late").join()
		hosts[0].boot(hosts[0].state(t))
		hosts[0].join()
		expected, err := w.Document().Expected()
		if err != nil || expected.Count != count || expected.Version != count+1 {
			t.Errorf("expected %+v, %v, want %d in version %d", expected, err, count, count+1)
		}
		want := []string{}
		for _, h := range hosts {
			want = append(want, h.uuid)
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, slices.Sorted(slices.Values(expected.Members))); diff != "" {
			t.Errorf("expected members (-want +got):\n%s", diff)
		}
	})
}
