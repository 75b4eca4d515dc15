//go:build !race

package sim

// sliceSeeds is how many seeds are simulated where nobody asks for more.
const sliceSeeds = 500

// raced says that the race detector watches.
const raced = false
