package drp_test

import (
	"testing"
	"time"

	"muster/profile"
	"muster/profile/drp"
)

func TestMarkShowsALeaderAndPutsTheIconBack(t *testing.T) {
	for _, compat := range []string{"", "3.13"} {
		for name, meta := range map[string]map[string]string{"own icon": {"icon": "server"}, "no icon": {}, "no meta": nil} {
			t.Run("compat "+compat+", "+name, func(t *testing.T) {
				r := serve(t, compat)
				object := map[string]any{"Name": "n1", "Uuid": machineUUID}
				if meta != nil {
					object["Meta"] = meta
				}
				r.post("machines", object)
				token, err := r.MachineToken(machineUUID, time.Hour)
				if err != nil {
					t.Fatal(err)
				}
				m := r.client(t).Machine(machineUUID, drp.Token(token))
				for i, leader := range []bool{true, true, false, false, true} { // every mark twice: it may be repeated
					if err := m.Mark(t.Context(), leader); err != nil {
						t.Fatalf("mark %d: %v", i, err)
					}
					got, err := m.Read(t.Context())
					if err != nil || got.Leader != leader {
						t.Errorf("mark %d: leader %v, %v, want %v", i, got.Leader, err, leader)
					}
					want := meta["icon"]
					if leader {
						want = profile.LeaderIcon
					}
					if got := r.icon(); got != want {
						t.Errorf("mark %d: icon %q, want %q", i, got, want)
					}
				}
			})
		}
	}
}
