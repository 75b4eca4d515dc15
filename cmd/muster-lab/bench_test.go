//go:build linux

package main

import (
	"encoding/json"
	"strings"
	"testing"

	"muster/lab/bench"
)

// The members are in this process, and this test binary is the endpoint, too.
func TestBenchesOfFiveMembersCountWhatTheMembersDid(t *testing.T) {
	for args, check := range map[string]func(t *testing.T, r bench.Result){
		"form --facts full": func(t *testing.T, r bench.Result) {
			if grown := r.ProfileBytes[1] - r.ProfileBytes[0]; grown < 5*600 {
				t.Errorf("the profile grew by %d bytes, want records and fact sheets of five", grown)
			}
		},
		"form --facts off --compat 3.13": func(t *testing.T, r bench.Result) {
			if r.ProfilePolls != r.MachinePolls {
				t.Errorf("%d polls of the profile and %d of machines, want one each of every member: there are no long polls", r.ProfilePolls, r.MachinePolls)
			}
		},
		"barrier --within 500ms": func(t *testing.T, r bench.Result) {
			if r.ProfileWrites < 5+2+5+1 || r.Waited <= 0 || r.Release.Max < r.Release.P50 || r.Release.P50 < 0 || r.Notice < 0 {
				t.Errorf("expected a join and a completion each, two claims and a verdict, and times: %+v", r)
			}
		},
		"idle --settle 1s --for 1s": func(t *testing.T, r bench.Result) {
			if r.Seconds < 1 || r.ProfileReads >= 5*10 {
				t.Errorf("%d reads in %.1f s", r.ProfileReads, r.Seconds)
			}
		},
		"failover --ttl 3s --settle 1s": func(t *testing.T, r bench.Result) {
			if r.Gap <= 0 || r.Lost <= 0 {
				t.Errorf("another leads %.0f ms after the cut, the lost one ceased after %.0f ms", r.Gap, r.Lost)
			}
		},
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			out, errs, err := call(t.Context(), append([]string{"bench", "--members", "5", "--leaders", "2", "-o", "json"}, strings.Fields(args)...)...)
			if err != nil {
				t.Fatalf("%v\n%s", err, errs)
			}
			var r bench.Result
			if err := json.Unmarshal([]byte(out), &r); err != nil {
				t.Fatal(err)
			}
			if r.Kind == bench.Form || r.Kind == bench.Barrier {
				if r.ProfileReads < 5 || r.MachineReads < 5 || r.ProfileWrites < 5+2 || r.BytesToClients < 5*r.ProfileBytes[0] || r.BytesFromClients <= 0 {
					t.Errorf("expected two reads and a write each and two claims: %+v", r)
				}
			}
			if sum := r.ProfileReads + r.ProfilePolls + r.ProfileWrites + r.Conflicts + r.MachineReads + r.MachinePolls + r.MachineWrites; r.Requests != sum {
				t.Errorf("%d requests, which are %d", r.Requests, sum)
			}
			if r.AgentsRSS <= 0 || r.EndpointRSS <= 0 {
				t.Errorf("memory: %d and %d bytes", r.AgentsRSS, r.EndpointRSS)
			}
			check(t, r)
		})
	}
}

func TestTableOfABenchSaysWhatEachMemberCosts(t *testing.T) {
	t.Parallel()
	out, errs, err := call(t.Context(), "bench", "form", "--members", "2", "--leaders", "1")
	if err != nil {
		t.Fatalf("%v\n%s", err, errs)
	}
	for _, want := range []string{"form: 2 members, 1 leaders, facts brief", "s after the last start", "writes a member; ", "MB to clients (floor of forming ", "ms a member"} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
}
