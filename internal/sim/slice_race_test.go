//go:build race

package sim

// sliceSeeds is how many seeds are simulated where nobody asks for more: under
// the race detector each takes many times as long.
const sliceSeeds = 24

// raced says that the race detector watches.
const raced = true
