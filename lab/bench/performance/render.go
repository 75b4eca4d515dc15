package main

import (
	_ "embed"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"text/template"

	"muster/lab/bench"
)

//go:embed performance.tmpl
var document string

// render writes the document, and names the goals that are missed and have no reason
// in the template.
func render(r report) (text string, silent []string, err error) {
	t, err := template.New("document").Parse(document)
	if err != nil {
		return "", nil, err
	}
	goals, missed := r.table()
	var reasons strings.Builder
	for _, g := range missed {
		var why strings.Builder
		if reason := t.Lookup(g.key); reason == nil {
			silent = append(silent, g.key)
			why.WriteString("Not looked into yet.")
		} else if err := reason.Execute(&why, nil); err != nil {
			return "", nil, err
		}
		fmt.Fprintf(&reasons, "- **%s.**\n  %s\n", g.figure, strings.ReplaceAll(why.String(), "\n", "\n  "))
	}
	var b strings.Builder
	err = t.Execute(&b, map[string]any{
		"Goals": goals, "Reasons": strings.TrimRight(reasons.String(), "\n"), "Runs": r.all(), "Rest": r.rest(),
		"Micro": r.Micro, "Version": r.Version, "Host": r.Host, "Go": r.Go, "Times": r.times(), "Idle": r.plan.idle,
	})
	return strings.TrimLeft(b.String(), "\n"), silent, err
}

// times says how often was run.
func (r report) times() string {
	s := fmt.Sprintf("medians of %d runs", r.Runs)
	if r.Runs == 1 {
		s = "of one run"
	}
	if r.LargeRuns != r.Runs {
		s += fmt.Sprintf(" (N = %d: of %d)", r.plan.large, r.LargeRuns)
	}
	return s
}

// table is that of the goals, and those that are missed with any endpoint.
func (r report) table() (rows string, missed []goal) {
	var text strings.Builder
	for _, g := range r.goals() {
		var wanted []string
		for _, p := range g.parts {
			wanted = append(wanted, p.wanted())
		}
		fmt.Fprintf(&text, "| %s | %s |", g.figure, strings.Join(wanted, " / "))
		short := false
		for _, compat := range compats {
			cell, ok := g.cell(compat)
			fmt.Fprintf(&text, " %s |", cell)
			short = short || !ok
		}
		text.WriteString("\n")
		if short {
			missed = append(missed, g)
		}
	}
	return strings.TrimRight(text.String(), "\n"), missed
}

// cell is what was found with one kind of endpoint, and whether that is good enough.
func (g goal) cell(compat string) (string, bool) {
	var found []string
	good := true
	for _, p := range g.parts {
		if p.only && compat != "" {
			return "", true
		}
		v := p.found(compat)
		found = append(found, number(v)+p.unit)
		good = good && v <= p.limit
	}
	verdict := "met"
	if !good {
		verdict = "**missed**"
	}
	return strings.Join(found, " / ") + ": " + verdict, good
}

// number writes three digits that matter, and no more than there are.
func number(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// all is the table of the benches that something happens in.
func (r report) all() string {
	var text strings.Builder
	for _, members := range r.plan.sizes() {
		for _, kind := range []string{bench.Form, bench.Barrier} {
			for _, compat := range compats {
				w := what{Kind: kind, Compat: compat, Members: members}
				m := func(figure func(bench.Result) float64) float64 { return r.Found.median(w, figure) }
				fmt.Fprintf(&text, "| %s | %d | %s | %.2f | %.2f | %.2f | %.1f | %.1f | %.1f | %.1f | %.1f | %s |\n",
					kind, members, name(compat), m(seconds), m(requests), m(writes), m(conflicts),
					m(func(r bench.Result) float64 { return float64(r.BytesToClients) / 1e6 }), m(func(r bench.Result) float64 { return float64(r.Floor()) / 1e6 }),
					m(endpointCPU), m(agentsCPU), r.released(w))
			}
		}
	}
	return strings.TrimRight(text.String(), "\n")
}

func (r report) released(w what) string {
	if w.Kind != bench.Barrier {
		return ""
	}
	m := func(figure func(bench.Quantiles) float64) float64 {
		return r.Found.median(w, func(r bench.Result) float64 { return figure(r.Release) })
	}
	return fmt.Sprintf("%.0f / %.0f / %.0f", m(func(q bench.Quantiles) float64 { return q.P50 }), m(func(q bench.Quantiles) float64 { return q.P99 }), m(func(q bench.Quantiles) float64 { return q.Max }))
}

// rest is the table of the benches that mostly wait.
func (r report) rest() string {
	var text strings.Builder
	for _, compat := range compats {
		w := what{Kind: bench.Idle, Compat: compat, Members: r.plan.middle}
		for _, lease := range []bool{false, true} {
			w.Lease = lease
			fmt.Fprintf(&text, "| idle, %s | %s | %.2f requests a member and minute, %.0f writes in all |\n", slots(lease, r.plan.ttl), name(compat), r.Found.median(w, perMinute),
				r.Found.median(w, func(r bench.Result) float64 { return float64(r.ProfileWrites) }))
		}
		w.Kind = bench.Failover
		fmt.Fprintf(&text, "| failover, %s | %s | another member leads %.1f s after the cut |\n", slots(true, r.plan.ttl), name(compat), r.Found.median(w, func(r bench.Result) float64 { return r.Gap / 1000 }))
	}
	rest := r.Found.of(what{Kind: bench.Idle, Members: r.plan.middle, Processes: true})[0]
	p := rest.EachProcess
	fmt.Fprintf(&text, "| idle, sticky, in processes | %s | RSS %.1f MB (most %.1f), of it %.1f MB not of files; CPU on average %.3f %% of a core (most %.3f) |", name(""), p.RSS.P50, p.RSS.Max, p.Anon.P50, meanCPU(rest), p.CPU.Max)
	return text.String()
}

func slots(lease bool, ttl string) string {
	if lease {
		return "one lease of " + ttl
	}
	return "sticky"
}

func name(compat string) string {
	if compat == "" {
		return "present"
	}
	return compat
}

// thisHost says on what was measured.
func thisHost() string {
	cpu := "unknown processor"
	if raw, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := regexp.MustCompile(`(?m)^model name\s*:\s*(.+)$`).FindSubmatch(raw); m != nil {
			cpu = string(m[1])
		}
	}
	var info syscall.Sysinfo_t
	_ = syscall.Sysinfo(&info) // then 0 GB are told
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%d cores of %s, %d GB of memory, Linux %s", runtime.NumCPU(), cpu, uint64(info.Totalram)*uint64(info.Unit)>>30, strings.TrimSpace(string(kernel)))
}
