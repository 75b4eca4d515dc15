package main

import (
	"fmt"

	"muster/lab/bench"
)

// goal is a figure that is wanted.
type goal struct {
	key    string // of its reason in performance.tmpl
	figure string
	parts  []part
}

// part is one number of a goal; met if it is at most the limit.
type part struct {
	limit float64
	unit  string
	found func(compat string) float64
	only  bool // there is one for all endpoints
}

// show writes what is wanted.
func (p part) wanted() string { return fmt.Sprintf("%.4g%s", p.limit, p.unit) }

// goals are those of the project, in its order.
func (r report) goals() []goal {
	f, p := r.Found, r.plan
	of := func(kind string, members int, figure func(bench.Result) float64) func(string) float64 {
		return func(compat string) float64 {
			return f.median(what{Kind: kind, Compat: compat, Members: members}, figure)
		}
	}
	idle := func(w what, figure func(bench.Result) float64) func(string) float64 {
		return func(compat string) float64 {
			w.Compat = compat
			return f.median(w, figure)
		}
	}
	resting := what{Kind: bench.Idle, Members: p.middle}
	lease, processes := resting, resting
	lease.Lease, processes.Processes = true, true
	process := func(figure func(bench.Result) float64) func(string) float64 {
		return func(string) float64 { return f.median(processes, figure) }
	}
	growth := func(compat string) float64 {
		return of(bench.Barrier, p.large, requests)(compat) / of(bench.Barrier, p.middle, requests)(compat)
	}
	n := func(format string, members ...any) string { return fmt.Sprintf(format, members...) }
	return []goal{
		{"writes", n("form, N = %d: profile writes a member / conflicts", p.middle), []part{
			{1.2, "", of(bench.Form, p.middle, writes), false}, {5, " %", of(bench.Form, p.middle, conflicts), false}}},
		{"form", n("form, N = %d: after the last start / endpoint's CPU a member", p.middle), []part{
			{0.3, " s", of(bench.Form, p.middle, seconds), false}, {7, " ms", of(bench.Form, p.middle, endpointCPU), false}}},
		{"form-large", n("form, N = %d: after the last start", p.large), []part{{7, " s", of(bench.Form, p.large, seconds), false}}},
		{"bytes", n("form, N = %d: bytes to clients", p.large), []part{{1, " GB", of(bench.Form, p.large, gigabytes), false}}},
		{"requests", n("requests a member from start to release, above 1 for each 10 s waited, N = %d / %d", p.middle, p.large), []part{
			{6, "", of(bench.Barrier, p.middle, above), false}, {6, "", of(bench.Barrier, p.large, above), false}}},
		{"release", n("barrier: release p99 from the last report, N = %d / %d", p.middle, p.large), []part{
			{100, " ms", of(bench.Barrier, p.middle, release), false}, {1000, " ms", of(bench.Barrier, p.large, release), false}}},
		{"idle", n("idle, sticky, N = %d: requests a member and minute / writes", p.middle), []part{
			{2, "", idle(resting, perMinute), false}, {0, "", idle(resting, func(r bench.Result) float64 { return float64(r.ProfileWrites) }), false}}},
		{"lease", n("idle, one lease of %s, N = %d: requests a member and minute", p.ttl, p.middle), []part{{3, "", idle(lease, perMinute), false}}},
		{"process", n("one process, idle in a cluster of %d: RSS / CPU", p.middle), []part{
			{20, " MB", process(func(r bench.Result) float64 { return r.EachProcess.RSS.P50 }), true},
			{0.05, " %", process(meanCPU), true}}},
		{"size", "program `muster`, stripped, linux/amd64", []part{{10, " MB", func(string) float64 { return float64(r.Size) / 1e6 }, true}}},
		{"growth", n("requests a member from start to release: N = %d to N = %d", p.middle, p.large), []part{{1.3, " x", growth, false}}},
	}
}

// Figures of a result.
func seconds(r bench.Result) float64     { return r.Seconds }
func requests(r bench.Result) float64    { return each(r, r.Requests) }
func writes(r bench.Result) float64      { return each(r, r.ProfileWrites) }
func endpointCPU(r bench.Result) float64 { return r.EndpointCPU * 1000 / float64(r.Members) }
func agentsCPU(r bench.Result) float64   { return r.AgentsCPU * 1000 / float64(r.Members) }
func gigabytes(r bench.Result) float64   { return float64(r.BytesToClients) / 1e9 }
func release(r bench.Result) float64     { return r.Release.P99 }
func above(r bench.Result) float64       { return requests(r) - r.Waited/10 }
func perMinute(r bench.Result) float64   { return requests(r) * 60 / r.Seconds }

// meanCPU is in percent of a core: the kernel counts one process by 10 ms, which is too
// coarse for a median.
func meanCPU(r bench.Result) float64 { return 100 * r.AgentsCPU / r.Seconds / float64(r.Members) }

// conflicts are in percent of all patches of the profile.
func conflicts(r bench.Result) float64 {
	return 100 * float64(r.Conflicts) / max(1, float64(r.Conflicts+r.ProfileWrites))
}
