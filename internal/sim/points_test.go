package sim

import (
	"runtime"
	"strings"
	"sync"
)

// An await point is where a member waits for something outside of its process:
// a call of profile.Store, profile.MachineStore, a journal or a clock, and the
// function that makes it, such as "Apply@election.(*Elector).claim". They are
// found at run time.
type point string

// points remembers which stack means which await point.
type points struct {
	mu    sync.Mutex
	known map[[24]uintptr]point
}

var stacks = points{known: map[[24]uintptr]point{}}

// of names the await point whose method is being called.
func (p *points) of(method string) point {
	var pcs [24]uintptr
	n := runtime.Callers(3, pcs[:])
	p.mu.Lock()
	defer p.mu.Unlock()
	if known, ok := p.known[pcs]; ok {
		return known
	}
	name := point(method + "@" + caller(pcs[:n], method == "ReadParams"))
	p.known[pcs] = name
	return name
}

// caller is the first function outside of this package, the stores, what
// supervises loops and profile's own plumbing; where only the loops of a member
// are outside, it is the function of profile that they run. The reads that
// follow when answers cross each other are one await point, whoever's they are.
func caller(pcs []uintptr, reads bool) string {
	frames, plumbing, crossed := runtime.CallersFrames(pcs), "", false
	for more := true; more; {
		var frame runtime.Frame
		frame, more = frames.Next()
		name, ours := strings.CutPrefix(frame.Function, "muster/")
		switch {
		case strings.HasPrefix(name, "profile."):
			crossed = crossed || name == "profile.(*Member).write"
			plumbing = name
		case strings.HasPrefix(name, "internal/sim.") && plumbing == "", strings.HasPrefix(name, "internal/pulse."):
		case crossed && reads:
			return "profile.(*View).Put"
		case ours && !strings.HasPrefix(name, "internal/") && !strings.HasPrefix(name, "agent."):
			return trim(name)
		case plumbing != "":
			return trim(plumbing)
		}
	}
	return "agent.(*Agent).join" // which the simulation does itself
}

// trim takes away what the compiler appends to the names of closures.
func trim(function string) string {
	function, _, _ = strings.Cut(function, ".func")
	function, _, _ = strings.Cut(function, "[...]")
	return strings.TrimSuffix(function, "-fm")
}
