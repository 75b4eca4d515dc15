// Package scenario runs coordination tests: a file names members, roles and steps,
// a timeline of what happens to them, and what is expected to be seen.
//
// The members are real agents, each with a way to the endpoint of its own that can be
// cut. What they do is seen in the profile and by the commands that they run, which
// hold a connection to this process for as long as anything of them lives. Every
// change is looked at, none is sampled; only with an endpoint of others the profile is
// read every 200 ms, and what comes and goes in between is not seen.
//
//	s, err := scenario.Read("failover.yaml")
//	report, err := scenario.Run(ctx, scenario.Config{Scenario: s, ...})
//
// Nothing is sent or started before the whole file is checked. See docs/scenarios.md
// for the format and docs/adr/0021-scenarios.md for why it is so.
package scenario
