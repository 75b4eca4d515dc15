package election_test

import (
	"os"
	"testing"

	"muster/internal/leaktest"
)

// TestMain fails the package when a goroutine outlives the tests.
func TestMain(m *testing.M) { os.Exit(leaktest.Run(m)) }
