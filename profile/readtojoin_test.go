package profile_test

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"muster/profile"
)

// joinAnew reads what joining needs and joins, and returns what that asked of the store.
func (h *host) joinAnew() map[string]int {
	h.t.Helper()
	h.calls = map[string]int{}
	d, err := profile.ReadToJoin(h.t.Context(), h.store, cluster, h.State())
	if err != nil {
		h.t.Fatal(err)
	}
	h.view = profile.NewView(d)
	h.Member = profile.NewMember(profile.MemberConfig{Store: h.store, View: h.view, Journal: &h.journal, State: h.State()})
	h.join()
	return h.calls
}

func TestAHostReadsTheRecordsOnlyToJoinWhereTheyMayBeOtherThanSeeded(t *testing.T) {
	short := map[string]int{"ReadParams": 1, "Apply": 1}
	for name, row := range map[string]struct {
		uuid   string
		before func(h *host)
		want   map[string]int
	}{
		"it never joined": {"u1", func(*host) {}, short},
		"it never joined, and is barred": {"u1", func(h *host) {
			h.put(profile.At(profile.ParamMembers, "u1", "barred", profile.Leader), "for its disk")
		}, short},
		"it never joined, and a role came since the seed": {"u1", func(h *host) {
			h.put(profile.At(profile.ParamSlots, "db"), map[string]profile.Slot{"1": {History: []profile.Transition{}}})
		}, short},
		"it has joined before": {"u1", func(h *host) { h.join(); h.boot(h.State()) }, map[string]int{"Read": 1}},
		"its disk is new": {"u1", func(h *host) { h.join(); h.boot(profile.State{UUID: "u1", Profile: cluster}) },
			map[string]int{"ReadParams": 1, "Read": 1, "Apply": 2}},
		"it was forgotten, and its disk is new": {"u1", func(h *host) {
			empty := profile.EmptyRecord([]string{profile.Leader})
			empty.Seq = 7
			h.put(profile.At(profile.ParamMembers, "u1"), empty)
		}, map[string]int{"ReadParams": 1, "Read": 1, "Apply": 2}},
		"its record was removed by hand": {"u1", func(h *host) { h.edit(map[string]any{profile.ParamMembers: map[string]any{}}) },
			map[string]int{"ReadParams": 1, "Read": 1, "Apply": 2}},
		"it is not expected": {"u9", func(*host) {}, map[string]int{"ReadParams": 1, "Read": 1, "Apply": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := seeded(t, two()).host(row.uuid)
				row.before(h)
				bars := h.record(row.uuid).Barred
				if diff := cmp.Diff(row.want, h.joinAnew()); diff != "" {
					t.Errorf("calls (-want +got):\n%s", diff)
				}
				now := h.record(row.uuid)
				if now.Instance != h.State().Instance || now.Seq != h.State().Seq || !now.Joined() {
					t.Errorf("record %+v of %+v", now, h.State())
				}
				if bars[profile.Leader] != now.Barred[profile.Leader] {
					t.Errorf("bars are %v after joining, were %v", now.Barred, bars)
				}
				d, _ := h.view.Latest()
				if records, err := d.Members(); err != nil || cmp.Diff(records[row.uuid], now) != "" {
					t.Errorf("the view has the records %v, %v", records, err)
				}
			})
		})
	}
}

// The list of a thousand who are expected takes longer to decode than the rest of
// joining.
func TestWhatIsReadToJoinIsDecodedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u1")
		d, err := profile.ReadToJoin(t.Context(), h.store, cluster, h.State())
		if err != nil {
			t.Fatal(err)
		}
		seen, _ := profile.NewView(d).Latest()
		first, err1 := d.Expected()
		second, err2 := seen.Expected()
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if &first.Members[0] != &second.Members[0] {
			t.Error("the view decoded the expected members anew")
		}
	})
}
