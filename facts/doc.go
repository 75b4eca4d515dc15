// Package facts reads what this host is and makes a fact sheet: a small JSON document for the cluster profile,
// where every byte is paid for by every member at every write. docs/facts.md lists its keys.
//
// A sheet holds what identifies and sizes a host and nothing that changes while the host just runs: no use, no
// load, no counters. Two collections during one boot are equal unless somebody changed the host, so an agent
// writes its sheet when it joins and then hardly ever again. Serial numbers, secrets and raw machine ids are
// left out.
//
// Each source is read by itself under a time limit, and what fails is named in the sheet beside everything that
// worked. A value that cannot be right (zero memory, a size beyond 8 PiB, a boot in 1970) is no data and left
// out. Nothing is recovered from: a panic in a parser is a bug to be fixed, not a fact.
//
// gopsutil does the reading. Where it has no answer, or one that differs between root and others or from one
// second to the next, the package reads /proc, /sys or /etc itself. HOST_PROC, HOST_SYS, HOST_ETC and HOST_ROOT
// redirect both, from the environment or from common.EnvKey in the context. Other systems than Linux get the
// facts that gopsutil has there.
//
//	sheet, err := facts.Collect(ctx, facts.Config{AgentVersion: version, Previous: &last})
//	...
//	encoded, err := sheet.Fit(budget)
package facts
