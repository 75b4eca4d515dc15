package drp_test

import (
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"muster/profile"
	"muster/profile/drp"
)

// fleet is a rig with a machine of two profiles, and clusters alpha and beta.
func fleet(t *testing.T, compat string) (*rig, drp.Fleet, map[string]string) {
	t.Helper()
	r := serve(t, compat)
	r.profile("own", nil)
	for _, name := range []string{"alpha", "beta"} {
		r.profile(name, profile.Params{profile.ParamProfile: json.RawMessage(`"` + name + `"`)})
	}
	r.post("machines", map[string]any{"Name": "n1", "Uuid": machineUUID, "Profiles": []string{"own"}})
	f := drp.Fleet{Client: r.admin, Auth: r.auth}
	clusters, err := f.Clusters(t.Context())
	if err != nil || clusters["alpha"] != "alpha" || clusters["own"] != "" {
		t.Fatalf("clusters %v, %v", clusters, err)
	}
	return r, f, clusters
}

// list returns the one machine.
func (r *rig) list(t *testing.T) drp.Listed {
	t.Helper()
	filter, err := drp.Filter("Name Eq n1", "")
	if err != nil {
		t.Fatal(err)
	}
	found, err := r.admin.Machines(t.Context(), filter, r.auth)
	if err != nil || len(found) != 1 {
		t.Fatalf("machines %v, %v", found, err)
	}
	return found[0]
}

func TestAMachineGetsAProfileOnceAndKeepsTheOthers(t *testing.T) {
	for _, compat := range []string{"", "3.13"} {
		t.Run("compat "+compat, func(t *testing.T) {
			r, f, clusters := fleet(t, compat)
			early := r.list(t) // the others decide on what is stale
			var all sync.WaitGroup
			for range 5 {
				all.Go(func() {
					if _, err := f.Attach(t.Context(), early, "alpha", clusters); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if diff := cmp.Diff([]string{"own", "alpha"}, r.list(t).Profiles); diff != "" {
				t.Errorf("profiles (-want +got):\n%s", diff)
			}
			if changed, err := f.Attach(t.Context(), early, "beta", clusters); !errors.Is(err, profile.ErrNotNow) || changed {
				t.Errorf("another cluster: %v, %v, want %v", changed, err, profile.ErrNotNow)
			}
			if changed, err := f.Attach(t.Context(), r.list(t), "alpha", clusters); changed || err != nil {
				t.Errorf("again: %v, %v", changed, err)
			}
			for _, want := range []bool{true, false} {
				if changed, err := f.Detach(t.Context(), r.list(t), "alpha"); changed != want || err != nil {
					t.Errorf("detach: %v, %v, want %v", changed, err, want)
				}
			}
			if changed, err := f.Detach(t.Context(), early, "own"); !changed || err != nil || len(r.list(t).Profiles) != 0 {
				t.Errorf("detach: %v, %v, left %v", changed, err, r.list(t).Profiles)
			}
		})
	}
}

func TestTheManagerIsMarkedUnlessItIsSaidToBeNone(t *testing.T) {
	for _, compat := range []string{"", "3.13"} {
		t.Run("compat "+compat, func(t *testing.T) {
			r, f, _ := fleet(t, compat)
			for _, want := range []bool{true, false} {
				if changed, err := f.Manage(t.Context(), machineUUID); changed != want || err != nil || !r.list(t).Manager {
					t.Errorf("%v, %v, manager %v, want %v", changed, err, r.list(t).Manager, want)
				}
			}
			r.do("PATCH", "/api/v3/machines/"+machineUUID, []map[string]any{{"op": "add", "path": "/Params/cluster~1manager", "value": false}})
			if changed, err := f.Manage(t.Context(), machineUUID); changed || !errors.Is(err, profile.ErrNotNow) || r.list(t).Manager {
				t.Errorf("said to be none: %v, %v", changed, err)
			}
		})
	}
}

func TestAFleetThatIsShownIsNotChanged(t *testing.T) {
	r, f, clusters := fleet(t, "")
	var shown []string
	f.Show = func(m drp.Listed, patch json.RawMessage) error {
		shown = append(shown, m.Name+" "+string(patch))
		return nil
	}
	if _, err := f.Attach(t.Context(), r.list(t), "alpha", clusters); err != nil {
		t.Fatal(err)
	}
	want := `n1 [{"op":"test","path":"/Profiles","value":["own"]},{"op":"add","path":"/Profiles/-","value":"alpha"}]`
	if !slices.Equal(shown, []string{want}) || len(r.list(t).Profiles) != 1 {
		t.Errorf("shown %v, want %s; the machine has %v", shown, want, r.list(t).Profiles)
	}
}

// DRP keeps clusters among the machines.
func TestAClusterObjectIsNoMachine(t *testing.T) {
	r := serve(t, "")
	r.post("clusters", map[string]any{"Name": "blue"})
	filter, err := drp.Filter("Profiles Eq blue", "")
	if err != nil {
		t.Fatal(err)
	}
	if found, err := r.admin.Machines(t.Context(), filter, r.auth); err != nil || len(found) != 0 {
		t.Errorf("machines %v, %v, want none", found, err)
	}
}
