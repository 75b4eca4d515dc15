package sim

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"muster/profile"
)

// aimsInMeeting are few, or no round ends while faults happen.
const aimsInMeeting = 4

// newMeeting is the plan of a small cluster that does nothing but meet: its
// machines complete round after round, fail, are wiped, and lose the API when
// a gate opens. In half of the seeds they are complete from the start, by a
// workflow of before.
func newMeeting(seed uint64) *plan {
	p := newPlan(seed)
	random := p.stream("meeting")
	p.scene, p.restores, p.wild = meetings, false, false
	p.members = 2 + random.IntN(8)
	p.rates = rates(random, p.members, false)
	p.leaders, p.others, p.leases = 1, 0, []bool{false, false}
	p.stale = seed%2 == 0
	p.chance /= 4
	p.aims = nil
	all := slices.DeleteFunc(meetings.pairs(), func(w pair) bool { return w.kind == restore })
	for i := range uint64(aimsInMeeting) {
		p.aims = append(p.aims, &aim{pair: all[(seed*aimsInMeeting+i)*stride%uint64(len(all))]})
	}
	return p
}

// nextMeeting opens the next round once the last has its verdict; some end with
// the first failure, or by a deadline.
func (w *world) nextMeeting(random *rand.Rand) profile.Plan {
	criteria := profile.Criteria{FailFast: random.IntN(4) == 0}
	if random.IntN(6) == 0 {
		criteria.Deadline, criteria.AllowMissing = between(random, 20*time.Second, 3*time.Minute).String(), "1"
	}
	return func(d *profile.Document) (*profile.Change, error) {
		round, err := d.Round()
		if err != nil {
			return nil, err
		}
		return profile.RoundSpec{After: round.N, Criteria: criteria}.Plan(d)
	}
}

// met is what became of rounds.
type met struct {
	Verdicts map[string]int // verdict → rounds
	Heard    int            // how often somebody who waited was told one
	Wiped    int            // machines that were provisioned again
	Outages  int            // how often the API was lost when a gate was about to open, or opened
	Stale    int            // seeds whose machines were complete from the start
}

func newMet(p *plan) met {
	m := met{Verdicts: map[string]int{}}
	if p.stale {
		m.Stale = 1
	}
	return m
}

func (m *met) verdict(v string) { m.Verdicts[v]++ }

func (m *met) add(other met) {
	for v, n := range other.Verdicts {
		m.Verdicts[v] += n
	}
	m.Heard += other.Heard
	m.Wiped += other.Wiped
	m.Outages += other.Outages
	m.Stale += other.Stale
}

// isWiped now and then provisions the machine again: its agent dies and its disk
// is another, while the flags of the machine stay what they are until its
// workflow begins.
func (h *host) isWiped(random *rand.Rand) bool {
	if h.world.scene != meetings || h.world.isCalm() || random.IntN(12) > 0 {
		return false
	}
	h.mu.Lock()
	l := h.life
	h.mu.Unlock()
	if l != nil {
		l.kill()
	}
	h.mu.Lock()
	h.state, h.run = profile.State{UUID: h.uuid, Profile: cluster}, profile.Run{}
	h.disk++
	h.mu.Unlock()
	h.world.judge.wiped()
	return true
}

// disks returns how many disks the machine has had.
func (h *host) disks() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.disk + 1
}

// bornOn returns the disk, from 1, that a life of the agent was born on.
func (h *host) bornOn(life string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.births[life] + 1
}

func (w *world) host(uuid string) *host {
	return w.hosts[slices.IndexFunc(w.hosts, func(h *host) bool { return h.uuid == uuid })]
}

// outage cuts most hosts off from the API, of a meeting.
func (w *world) outage(why string) {
	if w.scene != meetings || w.isCalm() {
		return
	}
	random := w.at(time.Since(w.began), "outage at "+why)
	if random.IntN(2) == 0 {
		return
	}
	w.judge.met.Outages++
	for _, h := range w.hosts {
		if k := []kind{cut, cut, cutReads, cutReplies, ""}[random.IntN(5)]; k != "" {
			(&life{host: h}).cutFor(k, between(random, time.Second, 4*w.ttl))
			w.tally.hit(k, "any", true)
		}
	}
}

func (j *judge) wiped() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.met.Wiped++
}

// gathered notes that the last of those whom the round waits for has come: the
// gate is about to open.
func (j *judge) gathered(d *profile.Document) {
	if j.world.scene != meetings {
		return
	}
	round, err := d.Round()
	records, errMembers := d.Members()
	if err != nil || errMembers != nil || j.gathering == round.ID {
		return
	}
	for _, uuid := range j.world.uuids() {
		if records[uuid].Results[fmt.Sprint(round.N)] != profile.Complete {
			return
		}
	}
	j.gathering = round.ID
	j.world.outage("last completion of round " + round.ID)
}

// deaf names who has not heard the verdict of a round of a meeting, or is "".
// Those who did heard the same.
func (j *judge) deaf(round profile.Round) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.world.scene != meetings {
		return ""
	}
	for _, uuid := range j.world.uuids() {
		if j.told[uuid] != round.ID {
			return fmt.Sprintf("%s has not heard the verdict of round %d", uuid, round.N)
		}
	}
	return ""
}

// fewMeetings are too few to have had everything.
const fewMeetings = 20

// TestMeetings simulates -sim.meetings seeds that meet: no gate opens before the
// last machine has completed in the new round, and all hear the same verdict.
func TestMeetings(t *testing.T) {
	sum := share(t, runtime.NumCPU(), *flagMeetings, "-sim.scene="+string(meetings))
	for _, v := range sum.Violations {
		t.Error(v)
	}
	seeds := float64(sum.Seeds)
	for _, lack := range []struct {
		what     string
		is, want float64
	}{
		{"seeds with machines complete from the start", float64(sum.Met.Stale), 0.2 * seeds},
		{"rounds that completed", float64(sum.Met.Verdicts[profile.VerdictComplete]), seeds},
		{"rounds that failed", float64(sum.Met.Verdicts[profile.VerdictFailed]), 0.1 * seeds},
		{"verdicts heard", float64(sum.Met.Heard), 2 * seeds},
		{"machines wiped", float64(sum.Met.Wiped), 0.5 * seeds},
		{"outages at a release", float64(sum.Met.Outages), 0.5 * seeds},
	} {
		if sum.Seeds >= fewMeetings && lack.is < lack.want {
			t.Errorf("%s: %.0f, want at least %.0f", lack.what, lack.is, lack.want)
		}
	}
	fmt.Printf("meetings: seeds=%d complete_from_start=%d %s heard=%d wiped=%d outages_at_release=%d faults=%d violations=%d\n", sum.Seeds, sum.Met.Stale,
		strings.Join(verdicts(sum.Met), " "), sum.Met.Heard, sum.Met.Wiped, sum.Met.Outages, sum.Tally.Faults, sum.violations())
}

func verdicts(m met) (list []string) {
	for _, v := range []string{profile.VerdictComplete, profile.VerdictFailed, profile.VerdictPartial, profile.VerdictExpired} {
		list = append(list, fmt.Sprintf("%s=%d", v, m.Verdicts[v]))
	}
	return list
}
