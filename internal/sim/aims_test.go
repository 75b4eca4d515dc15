package sim

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
)

// aim is a fault at an await point that a seed looks for.
type aim struct {
	pair
	help bool         // only to make another await point come about
	met  atomic.Int64 // how often it has happened
}

// scene is what a seed has much of, so that it comes to await points of which
// ordinary histories have little.
type scene string

const (
	ordinary scene = ""
	rounds   scene = "rounds"   // round follows round, in a small cluster where little else fails
	strays   scene = "strays"   // slots are assigned by hand, and the profile is restored again and again
	ends     scene = "ends"     // agents with leases are told to stop again and again, and started
	meetings scene = "meetings" // nothing but rounds, as newMeeting draws them
	crowd    scene = "crowd"    // a thousand members, as newCrowd draws them
)

// scenes are those that seeds have in turn.
var scenes = []scene{ordinary, rounds, strays, ends}

// has reports whether an await point is one that the scene is set for.
func (s scene) has(p point) bool {
	parts := map[scene][]string{
		rounds:   {"coordinator.Judge", "roundOf"},
		meetings: {"coordinator.", "Watch", "Join", "View"},
		strays:   {"giveBack"},
		ends:     {"unused", "proof", "awaitPast", "barred"},
	}
	return slices.ContainsFunc(parts[s], func(part string) bool { return strings.Contains(string(p), part) })
}

// pairs are those that the scene is set for; the ordinary one is for all.
func (s scene) pairs() []pair {
	return slices.DeleteFunc(pairs(), func(w pair) bool { return s != ordinary && !s.has(w.point) })
}

// aimsEach is how many pairs a seed aims at, of its scene and of all. They are
// far apart, so that a seed sees many kinds at many points; stride is a prime,
// so that every pair has its turn.
const (
	aimsEach = 12
	stride   = 7919
)

// aim draws what the seed looks for, and sets the scene for it.
func (p *plan) aim() {
	p.scene = scenes[p.seed%uint64(len(scenes))]
	for _, of := range []struct {
		scene
		turn uint64
	}{{p.scene, p.seed / uint64(len(scenes))}, {ordinary, p.seed}} {
		all := of.pairs()
		for i := range uint64(aimsEach) {
			want := all[(of.turn*aimsEach+i)*stride%uint64(len(all))]
			p.aims = append(p.aims, &aim{pair: want})
			for _, h := range helps(want.point) {
				if !slices.ContainsFunc(p.aims, func(a *aim) bool { return a.help && a.pair == h }) {
					p.aims = append(p.aims, &aim{pair: h, help: true})
				}
			}
			p.restores = p.restores || want.kind == restore
		}
	}
	switch p.scene {
	case rounds:
		p.members = min(p.members, 5)
		p.chance /= 4
	case strays:
		p.restores = true
		p.members = min(p.members, 5)
		p.others = p.members + 2 // some are always free
	case ends:
		p.leases = []bool{true, true}
	}
	p.rates = p.rates[:p.members]
}

// helps are the faults that make a process come to an await point: it reads
// again what it could not write, or what was overtaken.
func helps(at point) []pair {
	method, who, _ := strings.Cut(string(at), "@")
	write := point("Apply@" + who)
	switch {
	case method == "Read" && slices.Contains(awaitPoints, write):
		return []pair{{refused, write}, {slow, write}}
	case at == "ReadParams@election.(*Elector).look":
		return []pair{{slow, "Read@election.(*Elector).look"}}
	case at == "ReadParams@election.attempt":
		return []pair{{lostReply, write}}
	}
	return nil
}

// metOften is how often a seed takes every chance to see what it looks for.
const metOften = 3

// chance is how likely a seed takes a fault that it looks for.
func (a *aim) chance() float64 {
	switch {
	case a.help:
		return 0.5
	case a.met.Load() < metOften:
		return 0.9
	case slices.Contains([]kind{restore, edit, foreign, jump}, a.kind):
		return 0.4
	}
	return 0.2
}

// wanted returns the fault that the seed wants to see at a point now, or nil: of
// several, first one that it has not seen, and what only helps after the others.
func (p *plan) wanted(at point, random *rand.Rand) *aim {
	here := slices.DeleteFunc(slices.Clone(p.aims), func(a *aim) bool { return a.point != at || a.kind == restore && !p.restores })
	random.Shuffle(len(here), func(i, j int) { here[i], here[j] = here[j], here[i] })
	slices.SortStableFunc(here, func(a, b *aim) int { return int(a.rank() - b.rank()) })
	for _, a := range here {
		if random.Float64() < a.chance() {
			return a
		}
	}
	return nil
}

// rank is how many others go before it.
func (a *aim) rank() int64 {
	if a.help {
		return 1
	}
	return min(2, 2*a.met.Load())
}
