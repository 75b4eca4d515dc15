// Package sim runs whole agents, many at a time, on a store that fails in every
// way that we could think of, in simulated time, and holds each history to what
// Muster promises. Everything that is drawn comes from a seed, which is printed
// with a violation and replays it:
//
//	go test ./internal/sim -run TestSimulation -v -args -sim.seed=4711 -sim.trace
//
// In more than nine of ten seeds a replay is the same to the nanosecond
// (TestAReplayIsTheSame measures it). Which of several goroutines of one host goes
// on first at one moment, and what a select takes of which two things are ready,
// is the runtime's to say: where a replay comes to nothing, -sim.tries=20 tries
// that often.
//
// A simulated member is agent.Peer, as in production, with a journal, a machine
// and a way to the profile that the simulation holds in its hands. A seed draws
// the cluster, what its operators do and which faults happen, for some minutes;
// then it is calm, and everything has to settle.
//
// TestMeetings has clusters of its own that do nothing but meet (-sim.scene=meetings),
// and TestCrowds a thousand members.
//
// Not simulated: stale reads (one endpoint answers from one state), a member
// whose identity is copied, and the processes of `muster lead`.
package sim

import (
	"flag"
	"os"
	"runtime/debug"
	"testing"

	"muster/internal/leaktest"
)

var (
	flagSeeds    = flag.Int("sim.seeds", sliceSeeds, "how many seeds are simulated")
	flagMeetings = flag.Int("sim.meetings", sliceSeeds/10, "how many seeds of TestMeetings are simulated")
	flagFirst    = flag.Uint64("sim.first", 0, "the first seed")
	flagSeed     = flag.Int64("sim.seed", -1, "the one seed to replay, with what it draws")
	flagTries    = flag.Int("sim.tries", 1, "how often that seed is replayed")
	flagTrace    = flag.Bool("sim.trace", false, "print every await point and commit: for one seed")
)

func TestMain(m *testing.M) {
	debug.SetGCPercent(400) // a quarter of the time goes into collecting else
	os.Exit(leaktest.Run(m))
}
