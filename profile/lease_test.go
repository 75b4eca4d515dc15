package profile_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"muster/profile"
	"muster/profile/memory"
)

func TestUnsafeTTLsAreRefusedWithTheSafeOnes(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 0, "3s": 3 * time.Second, "30s": 30 * time.Second, "24h": 24 * time.Hour} {
		if got, err := profile.ParseTTL(text); err != nil || got != want {
			t.Errorf("%q: got %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"0s", "2.9s", "-5s", "25h", "30", "soon"} {
		if _, err := profile.ParseTTL(text); !errors.Is(err, profile.ErrInvalid) || !strings.Contains(err.Error(), "30s") {
			t.Errorf("%q: got %v, want %v with an example", text, err, profile.ErrInvalid)
		}
	}
}

// The margins of DESIGN, rule 6: 5/6 of a TTL between the end of a holder and
// its successor, more than nothing of it at a ratio of clock rates of 2.
func TestTimesOfALeaseLeaveTheirMargins(t *testing.T) {
	for _, ttl := range []time.Duration{profile.LeastTTL, 10 * time.Second, time.Minute} {
		act, over := profile.ActFor(ttl), profile.TakeOverAfter(ttl)
		if spare := over - act; spare < ttl/5 {
			t.Errorf("ttl %s: %s to spare at equal rates, want more than 20 %%", ttl, spare)
		}
		if spare := over/2 - act; spare <= 0 {
			t.Errorf("ttl %s: %s to spare at a ratio of 2", ttl, spare)
		}
		if profile.RenewEvery(ttl) >= act-profile.WarnBefore(ttl) {
			t.Errorf("ttl %s: renewed only after children are told to end", ttl)
		}
	}
}

// leaseOf joins a host and has it claim leader/1 as a lease.
func leaseOf(t *testing.T, w *world, uuid string, faults func(memory.Call) memory.Fault) (*host, profile.Tenure, *profile.Lease) {
	t.Helper()
	h := w.host(uuid)
	h.faults = faults
	h.join()
	after, err := h.Write(t.Context(), func(d *profile.Document) (*profile.Change, error) {
		return profile.Claim(d, profile.Tenure{Role: profile.Leader, Slot: "1", Instance: h.State().Instance, TTL: "6s"}, uuid, "first")
	})
	if err != nil {
		t.Fatal(err)
	}
	tenure, held := h.Tenure(after, profile.Leader)
	if !held {
		t.Fatal("the claim gave no tenure")
	}
	return h, tenure, h.Lease(tenure, "first")
}

// count is a clock that counts its readings, in seconds.
func count() func() time.Duration {
	var n time.Duration
	return func() time.Duration { n++; return n * time.Second }
}

func TestARenewalCountsFromTheAttemptThatLanded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: []string{"u00"}, Leaders: 1})
		lose := memory.Fault{}
		_, _, lease := leaseOf(t, w, "u00", func(c memory.Call) memory.Fault {
			if c.Method == "Apply" {
				return lose
			}
			return memory.Fault{}
		})
		clock := count()
		if since, err := lease.Renew(t.Context(), clock); err != nil || since != time.Second {
			t.Errorf("since %s, %v, want the moment before it was sent", since, err)
		}
		lose = memory.Fault{LoseReply: true}
		if _, err := lease.Renew(t.Context(), clock); !errors.Is(err, profile.ErrUnknownOutcome) {
			t.Fatalf("got %v, want %v", err, profile.ErrUnknownOutcome)
		}
		lose = memory.Fault{LoseRequest: true}
		if _, err := lease.Renew(t.Context(), clock); !errors.Is(err, profile.ErrUnknownOutcome) {
			t.Fatalf("got %v, want %v", err, profile.ErrUnknownOutcome)
		}
		lose = memory.Fault{}
		if since, err := lease.Renew(t.Context(), clock); err != nil || since != 2*time.Second {
			t.Errorf("since %s, %v, want 2s: the second attempt landed, whose answer was lost", since, err)
		}
		if since, err := lease.Renew(t.Context(), clock); err != nil || since != 5*time.Second {
			t.Errorf("since %s, %v, want 5s", since, err)
		}
	})
}

func TestARenewalIsRefusedOnceTheSlotIsAnothers(t *testing.T) {
	for name, edit := range map[string]struct {
		leaf string
		to   any
		want error
	}{
		"instance": {"instance", "other", profile.ErrLost},
		"epoch":    {"epoch", 1 << 40, profile.ErrLost},
		"freed":    {"instance", "", profile.ErrLost},
		"renewal":  {"renewal", "other", profile.ErrTwin},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: []string{"u00"}, Leaders: 1})
				_, _, lease := leaseOf(t, w, "u00", nil)
				c := &profile.Change{}
				c.Set(profile.At(profile.ParamSlots, profile.Leader, "1", edit.leaf), edit.to)
				way := w.Store(nil)
				if _, err := way.Apply(context.Background(), c); err != nil {
					t.Fatal(err)
				}
				way.Settle()
				before := w.Document().Version
				if _, err := lease.Renew(t.Context(), count()); !errors.Is(err, edit.want) || w.Document().Version != before {
					t.Errorf("got %v, version %s after %s, want %v and no write", err, w.Document().Version, before, edit.want)
				}
			})
		})
	}
}

func TestAWriteUnderAnEndedTenureChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: []string{"u00", "u01"}, Leaders: 1})
		h, tenure, _ := leaseOf(t, w, "u00", nil)
		set := func(under profile.Tenure, value string) error {
			_, err := h.Write(t.Context(), profile.Edit{Key: "site/value", Value: json.RawMessage(value), Tenure: &under}.Plan)
			return err
		}
		if err := set(tenure, `{"by": 1}`); err != nil {
			t.Fatal(err)
		}
		stale := tenure
		stale.Epoch--
		other := tenure
		other.Instance = "another life"
		for _, under := range []profile.Tenure{stale, other} {
			if err := set(under, "2"); !errors.Is(err, profile.ErrLost) {
				t.Errorf("under %+v: got %v, want %v", under, err, profile.ErrLost)
			}
		}
		if got := string(w.Document().Params["site/value"]); got != `{"by":1}` {
			t.Errorf("the param is %s", got)
		}
	})
}

func TestHistoryKeepsTheLastEightWithFieldsUnknownToUs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: []string{"u00"}, Leaders: 1})
		h, _, _ := leaseOf(t, w, "u00", nil)
		c := &profile.Change{}
		c.Set(profile.At(profile.ParamSlots, profile.Leader, "1", "history"), json.RawMessage(`[{},{"event":"a","more":1.50},{},{},{},{},{},{}]`))
		way := w.Store(nil)
		if _, err := way.Apply(context.Background(), c); err != nil {
			t.Fatal(err)
		}
		way.Settle()
		_, n := h.view.Latest()
		h.view.Put(w.Document(), n)
		_, err := h.Write(t.Context(), func(d *profile.Document) (*profile.Change, error) {
			held, _ := h.Tenure(d, profile.Leader)
			return profile.Release(d, held, "u00", profile.EventResigned)
		})
		if err != nil {
			t.Fatal(err)
		}
		var entries []json.RawMessage
		raw, _ := w.Document().Lookup(profile.At(profile.ParamSlots, profile.Leader, "1", "history"))
		if err := json.Unmarshal(raw, &entries); err != nil {
			t.Fatal(err)
		}
		if len(entries) != 8 || string(entries[0]) != `{"event":"a","more":1.50}` || !strings.Contains(string(entries[7]), profile.EventResigned) {
			t.Errorf("history %s", raw)
		}
	})
}
