package coordinator_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails the package when a goroutine outlives the tests.
func TestMain(m *testing.M) {
	code := m.Run()
	if stacks := leaked(); code == 0 && stacks != "" {
		fmt.Fprintf(os.Stderr, "goroutines outlive the tests:\n%s\n", stacks)
		code = 1
	}
	os.Exit(code)
}

// leaked returns the stacks of goroutines that do not end, or "".
func leaked() string {
	var stacks []string
	for range 100 { // what is ending gets time to end
		buf := make([]byte, 1<<20)
		stacks = nil
		for _, s := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if !strings.Contains(s, "coordinator_test.leaked") && !strings.Contains(s, "os/signal.") {
				stacks = append(stacks, s)
			}
		}
		if stacks == nil {
			return ""
		}
		<-time.After(50 * time.Millisecond)
	}
	return strings.Join(stacks, "\n\n")
}
