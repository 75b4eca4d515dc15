package endpoint

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gitlab.com/rackn/provision/v4/models"

	"muster/profile/profiletest"
)

// machineOf plants a machine that has one profile, of these params.
func machineOf(t testing.TB, s *store, params any) {
	t.Helper()
	err := s.update("user:root", func(tx *tx) error {
		for _, m := range []models.Model{&models.BootEnv{Name: "local"}, &models.Stage{Name: "none"}} {
			if err := tx.put(m); err != nil {
				return err
			}
		}
		profile, err := json.Marshal(map[string]any{"Name": "c1", "Params": params})
		if err == nil {
			_, err = tx.putRaw("profiles", profile)
		}
		if err == nil {
			_, err = tx.putRaw("machines", []byte(`{"Uuid":"`+profiletest.UUID(1)+`","Name":"m1","Profiles":["c1"]}`))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// patchC1 leaves the profile of machineOf with a tree.
func patchC1(t testing.TB, s *store, patch string) {
	t.Helper()
	ops, err := parsePatch([]byte(patch))
	if err == nil {
		err = s.update("user:root", func(tx *tx) error { _, err := tx.patch(tx.record("profiles", "c1"), ops); return err })
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestParamsOfAProfileAreFoundAlikeBeforeAndAfterAPatch(t *testing.T) {
	s := newStore(false)
	machineOf(t, s, json.RawMessage(`{"m/z":1,"task-skip":["a"],"task-retry":{"t":3},"m/none":null,"m/u":{"u1":{"seq":1},"u0":[]}}`))
	look := func(patched bool) (found map[string]string, debug *models.TaskDebug) {
		found = map[string]string{}
		_ = s.view(func(tx *tx) error {
			if has := tx.record("profiles", "c1").tree != nil; has != patched {
				t.Fatalf("the profile has a tree: %v, want %v", has, patched)
			}
			machine := tx.record("machines", profiletest.UUID(1))
			for _, name := range []string{"m/z", "task-skip", "task-retry", "m/none", "m/u", "u1", "", "absent"} {
				if raw, ok := tx.param(machine, name, true); ok {
					found[name] = string(raw)
				}
			}
			debug = tx.taskDebug(machine.key)
			return nil
		})
		return found, debug
	}
	found, debug := look(false)
	want := map[string]string{"m/z": `1`, "task-skip": `["a"]`, "task-retry": `{"t":3}`, "m/none": `null`, "m/u": `{"u1":{"seq":1},"u0":[]}`}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("before a patch (-want +found):\n%s", diff)
	}
	if diff := cmp.Diff(&models.TaskDebug{Skip: []string{"a"}, Retry: map[string]int{"t": 3}}, debug); diff != "" {
		t.Errorf("before a patch (-want +found):\n%s", diff)
	}

	patchC1(t, s, `[{"op":"replace","path":"/Params/task-skip/0","value":"b"},{"op":"remove","path":"/Params/m~1z"},{"op":"add","path":"/Params/m~1u/u1/seq","value":2}]`)
	found, debug = look(true)
	delete(want, "m/z")
	want["task-skip"], want["m/u"] = `["b"]`, `{"u0":[],"u1":{"seq":2}}`
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("after a patch (-want +found):\n%s", diff)
	}
	if diff := cmp.Diff(&models.TaskDebug{Skip: []string{"b"}, Retry: map[string]int{"t": 3}}, debug); diff != "" {
		t.Errorf("after a patch (-want +found):\n%s", diff)
	}
}

// What a POST of a job looks up for a machine that shares the profile of a thousand.
func BenchmarkTaskDebugOfAThousandMembers(b *testing.B) {
	params, err := profiletest.Large(1000)
	if err != nil {
		b.Fatal(err)
	}
	s := newStore(false)
	machineOf(b, s, params)
	patchC1(b, s, `[{"op":"add","path":"/Params/m~1mark","value":1}]`)
	b.ReportAllocs()
	for b.Loop() {
		_ = s.view(func(tx *tx) error { tx.taskDebug(profiletest.UUID(1)); return nil })
	}
}
