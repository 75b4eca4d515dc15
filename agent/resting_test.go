package agent_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"muster/agent"
	"muster/coordinator"
	"muster/internal/backoff"
	"muster/profile"
)

// waiting lets these wait until the returned function is called, which waits for
// their ends.
func waiting(t *testing.T, fellows []*fellow, w agent.Waiting) (end func()) {
	ctx, stop := context.WithCancelCause(t.Context())
	var ended sync.WaitGroup
	for _, f := range fellows {
		ended.Go(func() {
			if _, err := f.peer.Wait(ctx, w, func(coordinator.Outcome) {}); !errors.Is(err, errEnough) {
				t.Errorf("%s: the wait ends with %v", f.uuid, err)
			}
		})
	}
	return func() {
		stop(errEnough)
		ended.Wait()
	}
}

// A transfer is given 30 s. Who rests least would get the slot if it were not kept.
func TestASlotThatIsTransferredWhileItsHolderAndItsHeirWaitIsHandedOverToNobodyElse(t *testing.T) {
	t.Parallel()
	for _, unversed := range []bool{false, true} {
		for _, row := range []struct {
			waits string
			n     int
			soon  time.Duration
		}{
			{"both", 10, 12 * time.Second},
			{"both", 30, 28 * time.Second},
			{"heir", 30, 28 * time.Second},
		} {
			t.Run(fmt.Sprintf("%s of %d, polled %v", row.waits, row.n, unversed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var to toil
					fellows, _, end := to.start(t, row.n, unversed)
					defer end()
					holder := to.holder(t)
					at := slices.IndexFunc(fellows, func(f *fellow) bool { return f.uuid == holder })
					heir := fellows[(at+row.n/2)%row.n]
					who := map[string][]*fellow{"heir": {heir}, "both": {fellows[at], heir}}[row.waits]
					defer waiting(t, who, agent.Waiting{})()
					time.Sleep(time.Minute)
					freed, claimed := to.handOver(t, holder, heir.uuid)
					t.Logf("given up after %s, claimed after %s", freed, claimed)
					if freed > 10*time.Second || claimed > row.soon {
						t.Errorf("given up after %s, claimed after %s, want 10 s and %s at most", freed, claimed, row.soon)
					}
				})
			})
		}
	}
}

// holder is who holds the slot of the leader now.
func (to *toil) holder(t *testing.T) string {
	t.Helper()
	slots, err := to.Document().Slots()
	if err != nil {
		t.Fatal(err)
	}
	return slots[profile.Leader]["1"].Holder
}

// handOver transfers the slot of the leader, and returns how long the holder kept it
// and until when the heir had it.
func (to *toil) handOver(t *testing.T, holder, heir string) (freed, claimed time.Duration) {
	t.Helper()
	way := to.Store(nil)
	defer way.Settle()
	if _, err := profile.NewOperator(way).Write(t.Context(), profile.Transfer{Role: profile.Leader, Slot: "1", To: heir}.Plan); err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); time.Since(begun) < time.Minute; time.Sleep(100 * time.Millisecond) {
		switch now := to.holder(t); now {
		case holder:
			freed = time.Since(begun)
		case heir:
			return freed, time.Since(begun)
		case "":
		default:
			t.Fatalf("%s holds the slot, which is wanted for %s", now, heir)
		}
	}
	t.Fatal("nobody took the slot")
	return 0, 0
}

func TestWhoWaitsForOthersRecordsItsOwnCompletionByTheNextPoll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var to toil
		fellows, machines, end := to.start(t, 20, true)
		defer end()
		holder := to.holder(t)
		worker := slices.IndexFunc(fellows, func(f *fellow) bool { return f.uuid != holder })
		leaders := agent.Waiting{Barrier: "leaders", Asked: profile.Asked{Role: new(profile.Leader)}}
		defer waiting(t, fellows[worker:worker+1], leaders)()
		time.Sleep(time.Minute)
		machines[worker].Set(func(m *profile.Machine) { m.Complete = true })
		time.Sleep(10 * time.Second)
		if r, _, err := to.Document().Record(fellows[worker].uuid); err != nil || r.Results["1"] != profile.Complete {
			t.Errorf("results %v, error %v, want the completion", r.Results, err)
		}
	})
}

// bubble is a clock in simulated time, which the host's is not.
type bubble struct{}

var bubbleBegan = time.Unix(0, 0)

func (bubble) Now() time.Duration { return time.Since(bubbleBegan) }

func (b bubble) Until(ctx context.Context, moment time.Duration) error {
	return backoff.Sleep(ctx, moment-b.Now())
}
