package sim

import (
	"math/rand/v2"
	"slices"
	"strings"
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
	prefers  []pair        // faults that this seed looks for
	strays   bool          // it is restored again and again, so that slots name tenures that nobody remembers
	restores bool          // the profile may be restored; else the endpoint's clock may jump
}

// prefersMost is how many pairs of fault and await point a seed looks for.
const prefersMost = 8

func newPlan(seed uint64) *plan {
	p := &plan{seed: seed}
	random := p.stream("plan")
	switch size := random.IntN(1000); {
	case size == 0:
		p.members = 200
	case size < 20:
		p.members = 20 + random.IntN(31)
	default:
		p.members = 3 + random.IntN(6)
	}
	p.leaders = 1 + random.IntN(3)
	p.others = random.IntN(3)
	p.ttl = between(random, profile.LeastTTL, 15*time.Second)
	p.storm = between(random, 4*time.Minute, 8*time.Minute)
	p.patience = 10*time.Minute + 3*p.ttl
	p.latency = between(random, time.Millisecond, 100*time.Millisecond)
	p.chance = 0.02 + 0.08*random.Float64()
	p.wild = random.IntN(20) == 0
	p.rates = rates(random, p.members, p.wild)
	p.leases = []bool{random.IntN(3) > 0, random.IntN(2) > 0}
	p.restores = random.IntN(2) == 0
	all := pairs()
	for i := range prefersMost { // far apart, so that a seed sees many kinds at many points
		want := all[(seed*prefersMost+uint64(i))*stride%uint64(len(all))]
		p.prefers = append(p.prefers, want)
		switch {
		case want.kind == restore, strings.Contains(string(want.point), "giveBack"):
			p.restores = true
		case want.kind == jump:
			p.restores = i%2 == 0 && p.restores
		}
		p.strays = p.strays || strings.Contains(string(want.point), "giveBack")
	}
	return p
}

// stride is a prime, so that every pair has its turn.
const stride = 7919

// rare are await points that few histories reach: there a seed takes every
// chance to see what it looks for.
var rare = []string{"giveBack", "Join", "Judge", "unused", "ReadParams@election.(*Elector).look", "Read@election", "Read@coordinator"}

// preference is how likely a seed takes a fault that it looks for.
func preference(want pair) float64 {
	switch {
	case slices.ContainsFunc(rare, func(part string) bool { return strings.Contains(string(want.point), part) }):
		return 0.9
	case slices.Contains([]kind{restore, edit, foreign, jump}, want.kind):
		return 0.6
	}
	return 0.3
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

// preferred returns the kind of fault that the seed wants to see at p, or "".
func (p *plan) preferred(at point, random *rand.Rand) kind {
	for _, want := range p.prefers {
		if want.point == at && (want.kind != restore || p.restores) && (want.kind != jump || !p.restores) && random.Float64() < preference(want) {
			return want.kind
		}
	}
	return ""
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
