package leaktest_test

import (
	"strings"
	"testing"

	"muster/internal/leaktest"
)

type tests func() int

func (t tests) Run() int { return t() }

func TestAGoroutineThatIsLeftFailsTestsThatPassed(t *testing.T) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() { defer close(ended); <-end }()
	left := func(s string) bool { return strings.Contains(s, "TestAGoroutineThatIsLeft") }
	if got := leaktest.Stacks(left); !strings.Contains(got, "leaktest_test.go") {
		t.Errorf("stacks %q, want that of the goroutine", got)
	}
	close(end)
	<-ended
	if got := leaktest.Stacks(left); got != "" {
		t.Errorf("stacks %q after it ended", got)
	}
}

func TestTheExitCodeOfFailedTestsStays(t *testing.T) {
	if got := leaktest.Run(tests(func() int { return 3 })); got != 3 {
		t.Errorf("exit code %d, want 3", got)
	}
}
