package main

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"

	"muster/endpoint"
	"muster/profile"
	"muster/profile/drp"
)

// alpha is the profile as an administrator has it.
func (s *stage) alpha(ts *testscript.TestScript) (*drp.Store, func()) {
	client, err := drp.New(drp.Config{Endpoint: s.server.URL(), Fingerprint: s.server.Fingerprint()})
	ts.Check(err)
	return client.Profile("alpha", drp.Basic(endpoint.DefaultUser, endpoint.DefaultPassword)), client.Close
}

// cmdScribble writes to the profile twenty times a second, until the script ends.
// It returns once it has written.
func cmdScribble(ts *testscript.TestScript, s *stage, args []string) {
	store, closed := s.alpha(ts)
	ctx, cancel := context.WithCancel(context.Background())
	began, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ctx.Err() == nil; {
			c := &profile.Change{}
			c.Set(profile.At("site/noise"), n)
			if _, err := store.Apply(ctx, c); err == nil {
				if n++; n == 1 {
					close(began)
				}
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}()
	ts.Defer(func() { cancel(); <-done; closed() })
	select {
	case <-began:
	case <-time.After(patience):
		ts.Fatalf("the profile takes no write")
	}
}

func (s *stage) read(ts *testscript.TestScript) *profile.Document {
	store, closed := s.alpha(ts)
	defer closed()
	d, err := store.Read(context.Background())
	ts.Check(err)
	return d
}

// cmdConsistent wants all that was planted to be of one seed.
func cmdConsistent(ts *testscript.TestScript, s *stage, _ []string) {
	d := s.read(ts)
	ts.Check(d.Check())
	expected, err := d.Expected()
	ts.Check(err)
	members, err := d.Members()
	ts.Check(err)
	round, err := d.Round()
	ts.Check(err)
	barrier, _, err := d.Barrier(profile.BarrierComplete, 1)
	ts.Check(err)
	if got := slices.Sorted(maps.Keys(members)); !slices.Equal(got, expected.Members) || expected.Version != 1 || expected.Count != len(got) {
		ts.Fatalf("expected are %+v, records are there of %v", expected, got)
	}
	var filter string
	ts.Check(json.Unmarshal(d.Params[profile.ParamFilter], &filter))
	if all := strings.HasSuffix(filter, "^n"); all != (len(members) == 3) || round.ID == "" || barrier.ID != round.ID {
		ts.Fatalf("filter %q with %d members, round %+v with barrier %+v", filter, len(members), round, barrier)
	}
}

// cmdRemember keeps what the profile says, and cmdSame wants it to say that still,
// but for what was scribbled meanwhile.
func cmdRemember(ts *testscript.TestScript, s *stage, _ []string) { s.kept = s.read(ts).Params }

func cmdSame(ts *testscript.TestScript, s *stage, _ []string) {
	now := s.read(ts).Params
	for late := time.Now().Add(patience); string(now["site/noise"]) == string(s.kept["site/noise"]); now = s.read(ts).Params {
		if time.Now().After(late) {
			ts.Fatalf("nobody has scribbled")
		}
		<-time.After(10 * time.Millisecond)
	}
	delete(now, "site/noise")
	delete(s.kept, "site/noise")
	if diff := cmp.Diff(s.kept, now); diff != "" {
		ts.Fatalf("the profile (-before +now):\n%s", diff)
	}
}
