package scenario

import (
	"os"
	"strconv"
	"testing"
	"time"

	"muster/internal/leaktest"
)

// asBody, set to anything, makes the test binary the command of a step, whose arguments
// are SOCKET STEP MEMBER EXIT COMMAND...
const asBody = "MUSTER_TEST_BODY"

func TestMain(m *testing.M) {
	if os.Getenv(asBody) != "" {
		words := os.Args[1:]
		exit, _ := strconv.Atoi(words[3])
		code, err := Body(words[0], words[1], words[2], time.Millisecond, exit, words[4:])
		if err != nil {
			os.Stderr.WriteString(err.Error())
			code = 99
		}
		os.Exit(code)
	}
	os.Exit(leaktest.Run(m))
}
