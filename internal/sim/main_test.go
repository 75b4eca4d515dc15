// Package sim runs whole agents, many at a time, on a store that fails in every
// way that we could think of, in simulated time, and holds each history to what
// Muster promises. Everything that is drawn comes from a seed, which is printed
// with a violation and replays it:
//
//	go test ./internal/sim -run TestSimulation -sim.seed=4711
//
// Which of several goroutines runs first at one moment is not the seed's to
// say, so a rare violation may need several replays (-count=20).
//
// A simulated member is agent.Peer, as in production, with a journal, a machine
// and a way to the profile that the simulation holds in its hands. A seed draws
// the cluster, what its operators do and which faults happen, for some minutes;
// then it is calm, and everything has to settle.
//
// Not simulated: stale reads (one endpoint answers from one state), a member
// whose identity is copied, and the processes of `muster lead`.
package sim

import (
	"flag"
	"os"
	"testing"

	"muster/internal/leaktest"
)

var (
	flagSeeds = flag.Int("sim.seeds", sliceSeeds, "how many seeds are simulated")
	flagFirst = flag.Uint64("sim.first", 0, "the first seed")
	flagSeed  = flag.Int64("sim.seed", -1, "the one seed to replay, with what it draws")
	flagTrace = flag.Bool("sim.trace", false, "print every await point and commit: for one seed")
)

func TestMain(m *testing.M) { os.Exit(leaktest.Run(m)) }
