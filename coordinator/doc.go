// Package coordinator lets members meet: it records when this machine's
// workflow is complete and where the member has arrived, keeps the barriers of a
// round with one verdict each, and blocks whoever waits for one.
//
// Guaranteed: a wait succeeds only on a recorded verdict, and everybody who
// waits at a barrier gets the same one, also after a restart. A verdict
// "complete" means that everybody whom the barrier's criteria name recorded a
// completion of a run that belongs to that round, or an arrival in it; one that
// is "partial" names who did not, and never more than the criteria allow. Never
// more members sit on a rolling step than may run it at once. An unreachable
// endpoint, a refused token, an empty list of members or a malformed param never
// opens a gate.
//
// Not guaranteed: that a member that completed is still alive, or still
// complete, when the verdict is recorded; completions are latched for their
// round. Nor that anybody records anything while every member is down.
//
// Clocks: time-outs and pauses count on this process's monotonic clock.
package coordinator

import "errors"

// Results of waiting that are not success.
var (
	// ErrPeerFailed means that the round's verdict is "failed".
	ErrPeerFailed = errors.New("coordinator: a peer failed")
	// ErrTimeout means that the waiter's own time-out passed. The round goes on.
	ErrTimeout = errors.New("coordinator: timed out")
	// ErrBrokenOut means that cluster/escape is present.
	ErrBrokenOut = errors.New("coordinator: broken out by cluster/escape")
	// ErrSuperseded means that the round was given up for a newer one.
	ErrSuperseded = errors.New("coordinator: the round was superseded")
	// ErrExpired means that the barrier's own deadline passed.
	ErrExpired = errors.New("coordinator: the round expired")
	// ErrSelfWait means that the wait could never end: it would wait for itself.
	ErrSelfWait = errors.New("coordinator: waiting for oneself")
	// ErrUsage means that what was asked for makes no sense here.
	ErrUsage = errors.New("coordinator: usage")
)
