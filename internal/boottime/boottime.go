// Package boottime reads a clock that keeps running while the host is suspended. A holder counts its lease on it:
// Go's monotonic clock stops during suspend, so a laptop or a paused virtual machine would wake up believing
// that it still holds what others took over in the meantime.
//
// On Linux it is CLOCK_BOOTTIME. Elsewhere each reading adds the larger of the monotonic and the wall time that
// passed since the reading before: a suspend counts, and a wall clock that is set forward ends a lease early,
// which is safe. What can be missed there is a suspend in the very interval in which the wall clock was also set
// back. Frequent readings keep that interval short.
//
// Readings are only good for differences within one process: where they start from is undefined. They are real
// time even in a testing/synctest bubble, so code that is simulated takes a Clock from its Config,
// which defaults to System.
//
//	start := boottime.Now()
//	send()
//	held := boottime.Now()-start < ttl
package boottime
