package bench

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"muster/endpoint"
)

// reading is what the endpoint has counted, and what the processes have taken.
type reading struct {
	at     time.Time
	counts endpoint.Counts
	server usage
	agents usage
}

func (s *stage) read(ctx context.Context) (r reading, err error) {
	r.at = time.Now()
	if r.counts, err = s.served.Control.Counts(ctx); err != nil {
		return r, fmt.Errorf("counts of the endpoint: %w", err)
	}
	r.server, r.agents = usageOf(strconv.Itoa(s.served.PID)), usageOf("self")
	return r, nil
}

// between fills in what was counted between two readings.
func (r *Result) between(a, b reading) {
	r.Seconds = b.at.Sub(a.at).Seconds()
	r.ProfileReads = b.counts.ProfileReads - a.counts.ProfileReads
	r.ProfilePolls = b.counts.ProfilePolls - a.counts.ProfilePolls
	r.ProfileWrites = b.counts.ProfileWrites - a.counts.ProfileWrites
	r.Conflicts = b.counts.ProfileConflicts - a.counts.ProfileConflicts
	r.MachineReads = b.counts.MachineReads - a.counts.MachineReads
	r.MachinePolls = b.counts.MachinePolls - a.counts.MachinePolls
	r.MachineWrites = b.counts.MachineWrites - a.counts.MachineWrites
	r.Requests = r.ProfileReads + r.ProfilePolls + r.ProfileWrites + r.Conflicts + r.MachineReads + r.MachinePolls + r.MachineWrites
	r.BytesToClients = b.counts.BytesToClients - a.counts.BytesToClients
	r.BytesFromClients = b.counts.BytesFromClients - a.counts.BytesFromClients
	r.EndpointCPU = (b.server.cpu - a.server.cpu).Seconds()
	r.AgentsCPU = (b.agents.cpu - a.agents.cpu).Seconds()
	r.EndpointRSS, r.AgentsRSS = b.server.peak, b.agents.rss
}
