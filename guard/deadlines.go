package guard

import (
	"fmt"
	"time"

	"muster/internal/boottime"
)

// Deadlines are moments of boottime.Now, the same for all processes of a host:
// at Term the command is told to end, at Kill the whole tree is dead. Both are
// 0 if there are none.
type Deadlines struct {
	Term time.Duration `json:"term"`
	Kill time.Duration `json:"kill"`
}

// killingMost is how long before Kill the killing begins, or half of the time
// from Term to Kill, if that is shorter.
const killingMost = 500 * time.Millisecond

// killFrom is when the killing must begin.
func (d Deadlines) killFrom() time.Duration {
	return d.Kill - min((d.Kill-d.Term)/2, killingMost)
}

func (d Deadlines) check() error {
	if d == (Deadlines{}) || 0 < d.Term && d.Term <= d.Kill {
		return nil
	}
	return fmt.Errorf("guard: deadlines: expected 0 < term <= kill, or none, found term %s and kill %s", d.Term, d.Kill)
}

// before reports whether d demands an earlier end than other.
func (d Deadlines) before(other Deadlines) bool {
	return d.Kill != 0 && (other.Kill == 0 || d.Kill < other.Kill || d.Term < other.Term)
}

// later is d as the process keeps it that is not the first to send TERM.
func (d Deadlines) later() Deadlines {
	d.Term += (d.Kill - d.Term) / 4
	return d
}

// lookEvery bounds how late it is noticed that the host was suspended: timers
// stand still meanwhile.
const lookEvery = 250 * time.Millisecond

// enforce keeps the deadlines d, or the latest of changes, until done: it calls
// term once when it is due, and kill last.
func enforce(done <-chan struct{}, d Deadlines, changes <-chan Deadlines, term, kill func()) {
	timer := time.NewTimer(lookEvery)
	defer timer.Stop()
	for termed := false; ; {
		now, wait := boottime.Now(), lookEvery
		if d.Kill != 0 {
			if now >= d.killFrom() {
				kill()
				return
			}
			if !termed && now >= d.Term {
				term()
				termed = true
			}
			wait = min(wait, d.killFrom()-now)
			if !termed {
				wait = min(wait, d.Term-now)
			}
		}
		timer.Reset(wait)
		select {
		case <-done:
			return
		case d = <-changes:
		case <-timer.C:
		}
	}
}
