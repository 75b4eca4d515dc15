package main

import (
	"encoding/json"
	"net/url"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
)

// cmdFleet creates machines that carry no profile, as cmdMachine does.
func cmdFleet(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) > 0, "fleet KEY...")
	for _, key := range args {
		s.machine(ts, key, key)
	}
}

// cmdCluster makes a Cluster object, which makes its profile, and adds that to
// machines. Its UUID is in $NAME afterwards.
func cmdCluster(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) > 0, "cluster NAME [KEY...]")
	var made struct{ Uuid string }
	ts.Check(json.Unmarshal(s.admin(ts, "POST", "clusters", map[string]any{"Name": args[0]}), &made))
	ts.Setenv(args[0], made.Uuid)
	for _, key := range args[1:] {
		s.admin(ts, "PATCH", "machines/"+ts.Getenv(key), []map[string]any{{"op": "add", "path": "/Profiles/-", "value": args[0]}})
	}
}

// cmdProfiles compares the profiles of a machine with those that are wanted.
func cmdProfiles(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) == 2, "profiles KEY JSON")
	var machine struct{ Profiles []string }
	ts.Check(json.Unmarshal(s.admin(ts, "GET", "machines/"+ts.Getenv(args[0]), nil), &machine))
	want := []string{}
	ts.Check(json.Unmarshal([]byte(args[1]), &want))
	if diff := cmp.Diff(want, machine.Profiles); diff != "" {
		ts.Fatalf("profiles of %s (-want +got):\n%s", args[0], diff)
	}
}

// cmdMachineParam compares a param of a machine with the JSON that is wanted.
func cmdMachineParam(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) == 3, "machineparam KEY NAME JSON")
	var got, want any
	ts.Check(json.Unmarshal(s.admin(ts, "GET", "machines/"+ts.Getenv(args[0])+"/params/"+url.PathEscape(args[1]), nil), &got))
	ts.Check(json.Unmarshal([]byte(args[2]), &want))
	if diff := cmp.Diff(want, got); diff != "" {
		ts.Fatalf("param %s of %s (-want +got):\n%s", args[1], args[0], diff)
	}
}
