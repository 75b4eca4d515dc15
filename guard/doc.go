// Package guard runs a command in the care of a second process, so that the
// command and everything that it started is dead by a deadline, although one of
// the two processes may be stopped or killed (ADR 0007).
//
// Start begins the guard: this very program again, under another name, which
// Main recognizes. The guard is the parent of the command. It and the process
// that called Start both know the deadlines, which are moments on the clock of
// internal/boottime, the same for all processes of a host, and both keep them:
// the command's process group gets TERM when its warning is due, and the whole
// tree is dead by the end. Each kills the tree at once when the other is gone,
// and the guard kills what is left when the command ends by itself.
//
// The tree is found by two means. Where a cgroup (v2) may be made in the own
// one, the command runs in that and is killed with it. And both processes are
// reapers of orphans, so whatever loses its parent, also by forking twice or in
// a session of its own, becomes a child of the guard, or of its parent: children
// are killed until there are none.
//
// Not covered: both processes killed at the same moment (the command dies, what
// it started may live), or one killed and the other stopped; a process in
// uninterruptible sleep, and below it, without a cgroup, what it started; a
// process that this user may not kill.
// The tree then counts as alive: Wait does not return.
//
//	func main() {
//		guard.Main() // does not return in a guard
//		…
//		child, err := guard.Start(guard.Config{Path: path, Args: args, Env: env, Deadlines: d})
//		…
//		code, err := child.Wait()
//	}
package guard
