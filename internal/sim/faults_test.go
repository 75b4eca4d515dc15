package sim

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"muster/profile/memory"
)

// kind is a kind of fault.
type kind string

const (
	slow        kind = "slow"         // the request is overtaken by others
	late        kind = "late"         // it arrives after its sender gave up
	lostRequest kind = "lost-request" // it never arrives
	lostReply   kind = "lost-reply"   // it is carried out, and nobody says so
	twice       kind = "twice"        // it arrives again, later
	refused     kind = "refused"      // the endpoint cannot be reached, and that is known
	cut         kind = "cut"          // for a while nothing arrives
	cutReads    kind = "cut-reads"    // for a while only writes arrive
	cutWrites   kind = "cut-writes"   // for a while only reads arrive
	cutReplies  kind = "cut-replies"  // for a while everything arrives and no answer does
	pauseBefore kind = "pause-before" // the process is stopped, for longer than a TTL, when it has decided to call
	pauseAfter  kind = "pause-after"  // the same when the answer is there, and the process has not seen it
	killBefore  kind = "kill-before"  // the process is killed when it has decided to call
	killAfter   kind = "kill-after"   // the same when the answer is there
	restore     kind = "restore"      // the profile becomes what it was some time ago
	edit        kind = "edit"         // somebody makes a param malformed by hand, and mends it later
	foreign     kind = "foreign"      // somebody else writes 50 times a second for a while
	jump        kind = "jump"         // the endpoint's clock jumps ten years
)

// kinds are all of them, and which await points they can hit.
var kinds = []kind{
	slow, late, lostRequest, lostReply, twice, refused, cut, cutReads, cutWrites, cutReplies,
	pauseBefore, pauseAfter, killBefore, killAfter, restore, edit, foreign, jump,
}

// hits reports whether a fault of this kind makes sense at an await point.
func (k kind) hits(p point) bool {
	method, _, _ := strings.Cut(string(p), "@")
	switch k {
	case slow, late, lostRequest, lostReply, refused, cut, cutReplies:
		return !local(method)
	case twice:
		return method == "Apply" || method == "Mark"
	case cutReads:
		return !local(method) && !writes(method)
	case cutWrites:
		return writes(method)
	}
	return true
}

// local are the methods that ask nobody.
func local(method string) bool {
	return slices.Contains([]string{"Save", "SaveRun", "LoadRun", "Until"}, method)
}

func writes(method string) bool { return method == "Apply" || method == "Mark" }

// perCall are the faults that happen to calls by chance, with their weights.
var perCall = []struct {
	kind
	weight int
}{
	{slow, 30}, {late, 15}, {lostRequest, 15}, {lostReply, 25}, {twice, 20}, {refused, 15},
	{pauseBefore, 5}, {pauseAfter, 5}, {killBefore, 4}, {killAfter, 4}, {cut, 2}, {cutReads, 2}, {cutWrites, 2}, {cutReplies, 2}, {edit, 1}, {foreign, 1}, {jump, 1},
}

// draw picks one of perCall.
func draw(random *rand.Rand) kind {
	total := 0
	for _, f := range perCall {
		total += f.weight
	}
	at := random.IntN(total)
	for _, f := range perCall {
		if at -= f.weight; at < 0 {
			return f.kind
		}
	}
	panic("unreachable")
}

// memoryFault is what a fault of this kind does to one request.
func (k kind) memoryFault(random *rand.Rand, f *memory.Fault) {
	switch k {
	case slow:
		f.Delay += between(random, 500*time.Millisecond, 8*time.Second)
	case late:
		f.Delay += memory.Timeout + between(random, 0, 30*time.Second)
	case twice:
		f.Again = between(random, time.Millisecond, 20*time.Second)
	case lostRequest, cut:
		f.LoseRequest = true
	case lostReply, cutReplies:
		f.LoseReply = true
	}
}

// between draws a duration, to the nanosecond, so that hardly ever two things
// happen at the same moment and the seed alone decides what comes first.
func between(random *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(random.Int64N(int64(most-least)))
}
