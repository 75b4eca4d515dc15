// Package agent runs one machine's part in the cluster: it keeps the identity
// of the member, starts, supervises and stops the loops that compete for slots,
// watch the machine and judge rounds, and serves the local socket through which
// commands on the same host take part.
//
// Guaranteed: one process a host writes as the member (it holds a lock on the
// state directory); what is needed to know one's own writes again is on disk
// before they are sent; a gated step is never run twice in a round; Run returns
// only when every goroutine that it started has ended.
//
// Not guaranteed: that a command that was started survives the agent, nor that
// it does not (it is the child of the command line, not of the agent).
package agent
