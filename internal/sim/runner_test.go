package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"muster/profile"
)

// runner is the machine's own: it runs the workflow in every round, and again
// when that did not count, as an operator would have it.
func (h *host) runner(ctx context.Context, random *rand.Rand) {
	some := func(most time.Duration) { time.Sleep(between(random, 0, most/h.world.haste())) }
	for tried, first := "", !h.world.stale; ctx.Err() == nil; {
		round, due := h.due(tried)
		if !due {
			time.Sleep(5 * time.Second / h.world.haste())
			if !h.world.isCalm() && random.IntN(30) > 0 {
				continue
			}
			if round, due = h.due(""); !due { // not tried again as long as it may still count
				continue
			}
		}
		tried = round.ID
		some(30 * time.Second)
		if h.isWiped(random) {
			some(30 * time.Second)
		}
		if !first {
			h.begin()
		}
		first = false
		some(30 * time.Second)
		if random.IntN(5) == 0 {
			h.fail([]string{"failed", ""}[random.IntN(2)])
			some(30 * time.Second)
			h.retry()
			some(10 * time.Second)
		}
		h.finish()
		some(30 * time.Second)
		h.isWiped(random)
	}
}

// due returns the round that the machine has to complete, unless it has or is
// the one that was tried last.
func (h *host) due(tried string) (profile.Round, bool) {
	d := h.world.Document()
	round, err := d.Round()
	record, _, recordErr := d.Record(h.uuid)
	if err != nil || recordErr != nil || round.ID == tried {
		return round, false
	}
	return round, record.Results[strconv.Itoa(round.N)] != profile.Complete || record.Run.RoundID != round.ID
}

// begin sets the runner to the first task, as a new workflow does.
func (h *host) begin() {
	h.world.judge.began(h.uuid)
	h.machine.Set(func(m *profile.Machine) {
		h.jobs++
		m.Complete, m.Runnable, m.Task, m.Job, m.JobState = false, true, -1, fmt.Sprintf("job %d", h.jobs), "running"
	})
}

// finish completes the run.
func (h *host) finish() {
	h.world.judge.finished(h.uuid)
	h.machine.Set(func(m *profile.Machine) { m.Complete, m.Runnable, m.Task, m.JobState = true, true, 3, "finished" })
}

// fail has the job of now end in this state.
func (h *host) fail(jobState string) {
	h.machine.Set(func(m *profile.Machine) { m.Runnable, m.JobState = false, jobState })
}

// retry has the failed task run again.
func (h *host) retry() {
	h.machine.Set(func(m *profile.Machine) { m.Runnable, m.JobState = true, "running" })
}
