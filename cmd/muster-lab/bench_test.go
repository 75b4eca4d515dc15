//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"gitlab.com/rackn/provision/v4/api"

	"muster/endpoint"
	"muster/lab"
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

func TestMembersOfABenchCanBeProcesses(t *testing.T) {
	t.Parallel()
	program := labProgram(t)
	for _, args := range []string{"form", "barrier --within 100ms", "failover --ttl 3s --settle 1s"} {
		out, err := exec.CommandContext(t.Context(), program, append([]string{"bench", "--processes", "--members", "3", "--leaders", "1", "-o", "json"}, strings.Fields(args)...)...).Output()
		if err != nil {
			t.Fatalf("%s: %v", args, err)
		}
		var r bench.Result
		if err := json.Unmarshal(out, &r); err != nil {
			t.Fatal(err)
		}
		if r.CountedBy != "endpoint" || r.ByEndpoint == nil || r.ProfileReads < 1 || r.EachProcess == nil || r.EachProcess.RSS.P50 < 5 || r.EachProcess.Anon.Max >= r.EachProcess.RSS.Max {
			t.Errorf("%s: expected counts of the endpoint, and memory of each process: %s", args, out)
		}
		if r.Kind == bench.Failover && r.Gap <= 0 {
			t.Errorf("the gap is %.0f ms", r.Gap)
		}
	}
}

// foreign is an endpoint with a machine and a profile of others.
func foreign(t *testing.T) (*lab.Served, *lab.Operator) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	served, err := lab.ServeEndpoint(t.Context(), program, t.TempDir(), "", func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(served.Stop)
	operator, err := lab.NewOperator(lab.OperatorConfig{Endpoint: served.URL, CAFile: served.CAFile})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(operator.Close)
	if _, err := operator.EnsureProfile(t.Context(), "theirs"); err != nil {
		t.Fatal(err)
	}
	if _, err := operator.AddMachine(t.Context(), "muster-benchmark", "", []string{"theirs"}, nil); err != nil {
		t.Fatal(err)
	}
	return served, operator
}

// leftAlone fails unless a foreign endpoint is as it was.
func leftAlone(t *testing.T, served *lab.Served, operator *lab.Operator) {
	t.Helper()
	machines, err := operator.Machines(t.Context())
	if err != nil || len(machines) != 1 || machines[0].Name != "muster-benchmark" {
		t.Errorf("machines: %+v (%v), want the one of others", machines, err)
	}
	client, err := api.UserSessionTokenProxyContextServer(t.Context(), served.URL, endpoint.DefaultUser, endpoint.DefaultPassword, true, false, true, served.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, prefix := range []string{"profiles", "workflows", "stages", "tasks"} {
		list, err := client.ListModel(prefix)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			if strings.HasPrefix(m.Key(), "muster-bench") {
				t.Errorf("%s %s is left", prefix, m.Key())
			}
		}
	}
}

func TestABenchOnAForeignEndpointCountsWhatMembersCanAndLeavesNothing(t *testing.T) {
	t.Parallel()
	served, operator := foreign(t)
	out, errs, err := call(t.Context(), "bench", "barrier", "--within", "100ms", "--endpoint", served.URL, "--ca-file", served.CAFile, "--members", "3", "--leaders", "1", "-o", "json")
	if err != nil {
		t.Fatalf("%v\n%s", err, errs)
	}
	var r bench.Result
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if r.CountedBy != "members" || r.Endpoint != served.URL || r.Requests < 3*4 || r.BytesToClients < 3*r.ProfileBytes[0] || r.BytesFromClients <= 0 {
		t.Errorf("expected at least two reads and two writes of each: %s", out)
	}
	if r.ByEndpoint != nil || strings.Contains(out, "endpoint_cpu") {
		t.Errorf("nobody can know what the endpoint alone knows: %s", out)
	}
	leftAlone(t, served, operator)
}

func TestABenchThatIsInterruptedLeavesNothingOnAForeignEndpoint(t *testing.T) {
	t.Parallel()
	served, operator := foreign(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	ended := make(chan error, 1)
	go func() {
		_, _, err := call(ctx, "bench", "idle", "--for", "1h", "--settle", "0s", "--endpoint", served.URL, "--ca-file", served.CAFile, "--members", "3", "--leaders", "1")
		ended <- err
	}()
	for made := 0; made < 1+2; {
		select {
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(10 * time.Millisecond):
		}
		machines, err := operator.Machines(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		made = len(machines)
	}
	interrupt()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the bench ended with %v", err)
	}
	leftAlone(t, served, operator)
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
