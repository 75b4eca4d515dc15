//go:build linux

package soak

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"muster/internal/backoff"
	"muster/internal/boottime"
	"muster/profile"
)

// command is one run under a lease.
type command struct {
	member, slot string
	epoch        int64
	kill         time.Duration // by when it is dead, on CLOCK_BOOTTIME
	ended        bool
}

// book knows which commands run under leases. It is safe for concurrent use.
type book struct {
	mu   sync.Mutex
	now  map[string]*command // by slot
	runs int
}

// run notes that a command runs, and may until kill. The error means that another
// might still run under the slot.
func (b *book) run(c *command, t profile.Tenure, kill time.Duration) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.ended {
		return nil
	}
	c.slot, c.epoch, c.kill = t.Slot, t.Epoch, kill
	last := b.now[c.slot]
	if last == c {
		return nil
	}
	b.now[c.slot] = c
	b.runs++
	if last != nil && !last.ended && boottime.Now() < last.kill {
		return fmt.Errorf("slot %s: a command of %s (epoch %d) runs while one of %s (epoch %d) may for another %s", c.slot, c.member, c.epoch, last.member, last.epoch, last.kill-boottime.Now())
	}
	return nil
}

// end notes that a command has ended.
func (b *book) end(c *command) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.ended = true
}

// judge looks at every state of the profile that it gets to see.
type judge struct {
	epochs   map[string]int64             // slot → the highest seen
	tenures  map[string]map[string]string // slot → epoch → instance
	verdicts map[string]string            // barrier and round → verdict
	results  map[string]string            // member, life and round → result
	looks    int
}

func newJudge() *judge {
	return &judge{epochs: map[string]int64{}, tenures: map[string]map[string]string{}, verdicts: map[string]string{}, results: map[string]string{}}
}

// watch looks until ctx ends.
func (j *judge) watch(ctx context.Context, s *soak) {
	for ctx.Err() == nil {
		d, err := s.store.Read(ctx)
		if err == nil {
			if err := errors.Join(j.slots(d), j.barriers(d), j.records(d)); err != nil {
				s.fail("%v", err)
			}
			j.looks++
		} // else the endpoint restarts
		_ = backoff.Sleep(ctx, s.draw(50*time.Millisecond, 350*time.Millisecond))
	}
}

// slots: never more holders than slots, no member in two, epochs rise and are of one
// instance each.
func (j *judge) slots(d *profile.Document) error {
	roles, err := d.Slots()
	if err != nil {
		return err
	}
	var faults []error
	for role, slots := range roles {
		count, _, err := d.SlotCount(role)
		if err != nil {
			return err
		}
		var holders []string
		for number, slot := range slots {
			key := role + "/" + number
			if slot.Epoch < j.epochs[key] {
				faults = append(faults, fmt.Errorf("slot %s: epoch %d after %d", key, slot.Epoch, j.epochs[key]))
			}
			j.epochs[key] = slot.Epoch
			if slot.Free() {
				continue
			}
			if slices.Contains(holders, slot.Holder) {
				faults = append(faults, fmt.Errorf("role %s: %s holds two slots", role, slot.Holder))
			}
			holders = append(holders, slot.Holder)
			if j.tenures[key] == nil {
				j.tenures[key] = map[string]string{}
			}
			epoch := fmt.Sprint(slot.Epoch)
			if was := j.tenures[key][epoch]; was != "" && was != slot.Instance {
				faults = append(faults, fmt.Errorf("slot %s: epoch %s is of two instances", key, epoch))
			}
			j.tenures[key][epoch] = slot.Instance
		}
		if len(holders) > count {
			faults = append(faults, fmt.Errorf("role %s: %d holders of %d slots", role, len(holders), count))
		}
	}
	return errors.Join(faults...)
}

// barriers: a verdict stays what it is.
func (j *judge) barriers(d *profile.Document) error {
	barriers, err := d.Barriers()
	if err != nil {
		return err
	}
	for name, rounds := range barriers {
		for n, b := range rounds {
			key := name + " " + n
			if was := j.verdicts[key]; was != "" && was != b.Verdict {
				return fmt.Errorf("barrier %s: the verdict %q became %q", key, was, b.Verdict)
			}
			j.verdicts[key] = b.Verdict
		}
	}
	return nil
}

// records: what a member has completed stays complete.
func (j *judge) records(d *profile.Document) error {
	members, err := d.Members()
	if err != nil {
		return err
	}
	for uuid, r := range members {
		for round, result := range r.Results {
			key := uuid + " " + r.Life + " " + round
			if was := j.results[key]; was == profile.Complete && result != was {
				return fmt.Errorf("%s: round %s was complete and is %q", r.Name, round, result)
			}
			j.results[key] = result
		}
	}
	return nil
}
