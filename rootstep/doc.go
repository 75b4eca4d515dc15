// Package rootstep has the steps of a host run that need more rights than its agent
// has: by a helper, which the service manager starts as root for each connection to a
// socket (ADR 0019).
//
// Open asks the helper, by the name of a file and nothing else, and Run.Start has it
// begin once the start was noted. Serve is the helper: it takes what to run, as whom
// and for how long from that file, which root alone can have written. What comes from
// the other side and reaches the command are the four values of Tenure, in its
// environment, and only as numbers and letters.
//
// The connection is a leash. The helper, and the guard that it starts (package guard),
// keep the deadlines that were told last, and kill the command with everything that it
// has started when the connection ends. Whoever asked knows that all of it is dead by
// the helper's word, or the guard's; if both are gone without one, by the cgroup of the
// helper's unit, which the service manager then clears.
//
// Not guaranteed: that a step runs once. Whoever may connect can have every file with
// a user run, as often as he likes, and end it: docs/root-steps.md.
package rootstep
