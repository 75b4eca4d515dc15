package bench

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"muster/endpoint"
)

// reading is what was counted, and what the processes have taken.
type reading struct {
	at      time.Time
	counts  endpoint.Counts // of an embedded endpoint
	server  usage
	workers []usage   // one for each process of members
	traffic []traffic // of each member, with a foreign endpoint
}

func (s *stage) read(ctx context.Context) (r reading, err error) {
	r.at = time.Now()
	if s.served == nil {
		if r.traffic, err = s.traffic(ctx); err != nil {
			return r, err
		}
	} else {
		if r.counts, err = s.served.Control.Counts(ctx); err != nil {
			return r, fmt.Errorf("counts of the endpoint: %w", err)
		}
		r.server = usageOf(strconv.Itoa(s.served.PID))
	}
	if !s.cfg.Processes {
		r.workers = []usage{usageOf("self")}
		return r, nil
	}
	for _, m := range s.members {
		r.workers = append(r.workers, m.usage())
	}
	return r, nil
}

// between fills in what was counted between two readings.
func (r *Result) between(a, b reading) {
	r.Seconds = b.at.Sub(a.at).Seconds()
	if b.traffic != nil {
		r.byMembers(a.traffic, b.traffic)
	} else {
		r.byEndpoint(a, b)
	}
	r.byProcesses(a.workers, b.workers)
}

func (r *Result) byEndpoint(a, b reading) {
	r.CountedBy = "endpoint"
	r.ByEndpoint = &ByEndpoint{
		ProfileReads:  b.counts.ProfileReads - a.counts.ProfileReads,
		ProfilePolls:  b.counts.ProfilePolls - a.counts.ProfilePolls,
		ProfileWrites: b.counts.ProfileWrites - a.counts.ProfileWrites,
		MachineReads:  b.counts.MachineReads - a.counts.MachineReads,
		MachinePolls:  b.counts.MachinePolls - a.counts.MachinePolls,
		MachineWrites: b.counts.MachineWrites - a.counts.MachineWrites,
		EndpointCPU:   (b.server.cpu - a.server.cpu).Seconds(),
		EndpointRSS:   b.server.peak,
	}
	r.Conflicts = b.counts.ProfileConflicts - a.counts.ProfileConflicts
	r.Requests = r.ProfileReads + r.ProfilePolls + r.ProfileWrites + r.Conflicts + r.MachineReads + r.MachinePolls + r.MachineWrites
	r.BytesToClients = b.counts.BytesToClients - a.counts.BytesToClients
	r.BytesFromClients = b.counts.BytesFromClients - a.counts.BytesFromClients
}

func (r *Result) byMembers(a, b []traffic) {
	r.CountedBy = "members"
	for i := range b {
		r.Requests += b[i].requests - a[i].requests
		r.Conflicts += b[i].conflicts - a[i].conflicts
		r.BytesToClients += b[i].received - a[i].received
		r.BytesFromClients += b[i].sent - a[i].sent
	}
}

func (r *Result) byProcesses(a, b []usage) {
	var rss, anon, cpu []float64
	for i := range b {
		if b[i].rss == 0 { // it was killed
			continue
		}
		took := (b[i].cpu - a[i].cpu).Seconds()
		r.AgentsCPU += took
		r.AgentsRSS += b[i].rss
		rss, anon = append(rss, float64(b[i].rss)/1e6), append(anon, float64(b[i].anon)/1e6)
		cpu = append(cpu, 100*took/r.Seconds)
	}
	if r.Processes {
		r.EachProcess = &EachProcess{RSS: quantilesOf(rss), Anon: quantilesOf(anon), CPU: quantilesOf(cpu)}
	}
}
