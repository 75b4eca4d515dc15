// Package bench measures what a cluster costs: its members, and the endpoint that
// they share. The endpoint runs in a process of its own and counts what it is
// asked for. The members are those of the agent (agent.Peer, with a state
// directory on disk), all of them in this process or each in one of its own, with an
// HTTPS client, a connection and tokens of its own. A foreign endpoint counts
// nothing: there the members count what they can.
//
// Guaranteed: every figure is of one run and was counted, not estimated; a run in
// which a member fails is an error, not a figure.
//
// Not guaranteed: that figures can be compared between hosts, or with other work
// going on: all members and the endpoint share the cores of this host, and Result
// says how busy it was. CPU and memory of the agents are those of this process,
// with its share of the driver's work; a process for each member takes
// more memory, and counts the pages of the program that all of them share.
package bench
