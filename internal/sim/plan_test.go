package sim

import (
	"math/rand/v2"
	"time"

	"muster/profile"
)

// plan is what a seed draws before anything happens.
type plan struct {
	seed     uint64
	members  int
	leaders  int
	others   int // slots of role db
	ttl      time.Duration
	storm    time.Duration // how long faults happen
	patience time.Duration // how soon after it everything has settled
	latency  time.Duration // of a request or answer that is not late, at most
	chance   float64       // of a fault at a call
	rates    []float64     // of the hosts' clocks
	wild     bool          // the ratio of their rates is above what is promised
	leases   []bool        // per role, whether its slots are leases
	aims     []*aim        // faults that this seed looks for
	restores bool          // the profile may be restored; then the endpoint's clock is never set back
	scene    scene         // what it has much of
	stale    bool          // machines are complete from the start
}

func newPlan(seed uint64) *plan {
	p := &plan{seed: seed}
	random := p.stream("plan")
	switch size := random.IntN(1000); {
	case size == 0:
		p.members = 200
	case size < 20:
		p.members = 20 + random.IntN(31)
	default:
		p.members = 3 + random.IntN(7)
	}
	p.leaders = 1 + random.IntN(3)
	p.others = random.IntN(3)
	p.ttl = between(random, profile.LeastTTL, 15*time.Second)
	p.storm = between(random, 5*time.Minute, 9*time.Minute)
	p.patience = 10*time.Minute + 3*p.ttl
	p.latency = between(random, time.Millisecond, 100*time.Millisecond)
	p.chance = 0.02 + 0.08*random.Float64()
	p.wild = random.IntN(20) == 0
	p.rates = rates(random, p.members, p.wild)
	p.leases = []bool{random.IntN(3) > 0, random.IntN(2) > 0}
	p.restores = random.IntN(2) == 0
	p.aim()
	return p
}

// rates are how fast the hosts' clocks run: mostly alike, else in a ratio of up
// to two, or of up to four if they are wild.
func rates(random *rand.Rand, n int, wild bool) []float64 {
	spread := 0.0
	if random.IntN(2) == 0 {
		spread = random.Float64()
	}
	if wild {
		spread = 1 + 2*random.Float64()
	}
	list := make([]float64, n)
	for i := range list {
		if list[i] = 1 + spread*random.Float64(); random.IntN(3) == 0 {
			list[i] = 1 + spread
		}
	}
	return list
}

// haste is how many times as fast machines run their workflows.
func (p *plan) haste() time.Duration {
	if p.scene == rounds || p.scene == meetings {
		return 6
	}
	return 1
}

// roles are those that members compete for.
func (p *plan) roles() []string { return []string{profile.Leader, "db"} }

func (p *plan) planted() profile.Seed {
	options := map[string]profile.RoleOptions{}
	for i, role := range p.roles() {
		if p.leases[i] {
			options[role] = profile.RoleOptions{TTL: p.ttl.String()}
		}
	}
	return profile.Seed{Profile: cluster, Members: p.uuids(), Leaders: p.leaders, Roles: map[string]int{"db": p.others}, Options: options}
}
