// Package leaktest fails the tests of a package when a goroutine outlives them.
// It is for TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(leaktest.Run(m)) }
//
// Goroutines that are ending get up to 5 s for it. The runtime's own, which
// deliver signals, do not count. It sees the whole process, not one test.
package leaktest

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// Run runs the tests and returns the exit code: that of the tests, or 1, with
// the stacks on stderr, if they passed and goroutines are left.
func Run(m interface{ Run() int }) int {
	if code := m.Run(); code != 0 {
		return code
	}
	if stacks := Stacks(nil); stacks != "" {
		fmt.Fprintf(os.Stderr, "goroutines outlive the tests:\n%s\n", stacks)
		return 1
	}
	return 0
}

// Stacks returns the stacks of the goroutines that match and do not end, or "".
// A nil match is all but the caller's and the runtime's own.
func Stacks(match func(stack string) bool) string {
	var found []string
	for range 100 {
		buf := make([]byte, 1<<20)
		found = nil
		for _, s := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			own := strings.Contains(s, "leaktest.Stacks") || strings.Contains(s, "os/signal.")
			if !own && (match == nil || match(s)) {
				found = append(found, s)
			}
		}
		if found == nil {
			return ""
		}
		<-time.After(50 * time.Millisecond)
	}
	return strings.Join(found, "\n\n")
}
