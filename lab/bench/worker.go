package bench

import (
	"context"

	"muster/coordinator"
)

// worker is one member of the cluster, in this process (member) or in one of its
// own (process).
type worker interface {
	called() string
	// join returns once it is part of the cluster.
	join(ctx context.Context) error
	// run works until ctx ends; whatever else ends it is an error.
	run(ctx context.Context) error
	// sees blocks until it has itself seen all members and so many leaders.
	sees(ctx context.Context, leaders int) error
	// wait blocks until there is a verdict on the round.
	wait(ctx context.Context) (coordinator.Outcome, error)
	// metrics is what it has counted, in the format of Prometheus.
	metrics(ctx context.Context) (string, error)
	// usage is what its own process has taken; zero before it is started and once it
	// is killed.
	usage() usage
	close()
}
