package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"muster/profile"
)

// mint is a TokenSource that counts up.
type mint struct {
	lives []time.Duration    // that were asked for
	times []time.Time        // and when
	fault func(n int) error  // of the nth; nil is none
	then  func(token string) // before the token is handed out; may be nil
}

func (m *mint) NewToken(_ context.Context, life time.Duration) (string, error) {
	m.lives, m.times = append(m.lives, life), append(m.times, time.Now())
	n := len(m.lives)
	if m.fault != nil {
		if err := m.fault(n); err != nil {
			return "", err
		}
	}
	token := fmt.Sprintf("new-token-%d", n)
	if m.then != nil {
		m.then(token)
	}
	return token, nil
}

// renewed runs a renewal of the token in a file for a time in a bubble, with
// what is known of it written beside it, and returns the file and the log.
func renewed(t *testing.T, known *issue, m *mint, draw float64, during time.Duration) (file, logged string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "machine.token")
	put(t, file, "first-token\n")
	if known != nil {
		raw, err := json.Marshal(known)
		if err != nil {
			t.Fatal(err)
		}
		put(t, issueFile(file), string(raw))
	}
	var log strings.Builder
	r := newRenewal(file, m, hclog.New(&hclog.LoggerOptions{Output: &log}), func() float64 { return draw })
	ctx, cancel := context.WithTimeoutCause(t.Context(), during, errDone)
	defer cancel()
	if err := r.run(ctx); !errors.Is(err, errDone) {
		t.Errorf("run: got %v, want the cause of its context's end", err)
	}
	return file, log.String()
}

var errDone = errors.New("done")

func put(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func holds(t *testing.T, file, want string) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil || strings.TrimSpace(string(raw)) != want {
		t.Errorf("%s holds %q (%v), want %q", filepath.Base(file), raw, err, want)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s has mode %v (%v), want 0600", filepath.Base(file), info.Mode(), err)
	}
}

func first(ttl time.Duration) *issue {
	return &issue{Issued: time.Now(), TTL: int64(ttl / time.Second), SHA256: sumOf([]byte("first-token"))}
}

func TestAMachineTokenIsRenewedAtFiftyToSeventyPercentOfItsLife(t *testing.T) {
	for _, row := range []struct{ draw, share float64 }{{0, 0.5}, {0.5, 0.6}, {0.999, 0.6998}} {
		synctest.Test(t, func(t *testing.T) {
			m, began, life := &mint{}, time.Now(), 30*24*time.Hour
			file, _ := renewed(t, first(life), m, row.draw, time.Duration(1.9*row.share*float64(life)))
			if len(m.times) != 1 {
				t.Fatalf("draw %v: renewed %d times, want once", row.draw, len(m.times))
			}
			want := time.Duration(row.share * float64(life))
			if at := m.times[0].Sub(began); at < want || at > want+2*time.Second || m.lives[0] != life {
				t.Errorf("draw %v: renewed after %s for %s, want after %s for %s", row.draw, at, m.lives[0], want, life)
			}
			holds(t, file, "new-token-1")
			known, err := readIssue(file)
			if err != nil || known.SHA256 != sumOf([]byte("new-token-1")) || known.life() != life || known.Issued.After(m.times[0]) {
				t.Errorf("beside it: %+v (%v)", known, err)
			}
		})
	}
}

func TestATokenOfWhichNothingIsKnownIsRenewedOnceAndKnownFromThenOn(t *testing.T) {
	stale := issue{Issued: time.Now(), TTL: 3600, SHA256: sumOf([]byte("another-token"))}
	for name, known := range map[string]*issue{"nothing beside it": nil, "of another token beside it": &stale} {
		synctest.Test(t, func(t *testing.T) {
			m := &mint{}
			file, _ := renewed(t, known, m, 0.5, 300*24*time.Hour)
			if len(m.lives) != 1 || m.lives[0] != unknownLife {
				t.Errorf("%s: renewed for %v, want once for %v", name, m.lives, unknownLife)
			}
			holds(t, file, "new-token-1")
		})
	}
}

func TestWhereTheEndpointMakesNoTokensTheOldOneIsLeftAndThatIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mint{fault: func(int) error { return profile.ErrNotFound }}
		file, logged := renewed(t, nil, m, 0.5, 10*24*time.Hour)
		holds(t, file, "first-token")
		if n := strings.Count(logged, "does not renew machine tokens"); n != 1 || strings.Contains(logged, "[WARN]") {
			t.Errorf("said %d times, want once, without a warning:\n%s", n, logged)
		}
		if len(m.lives) > 11 {
			t.Errorf("asked %d times in ten days", len(m.lives))
		}
	})
}

func TestARenewalThatFailsIsTriedAgainBeforeTheLifeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, life := time.Now(), 10*time.Hour
		m := &mint{fault: func(n int) error {
			if n <= 5 {
				return profile.ErrUnavailable
			}
			return nil
		}}
		file, logged := renewed(t, first(life), m, 0.999, life)
		holds(t, file, "new-token-6")
		if at := m.times[5].Sub(began); at > 9*life/10 {
			t.Errorf("renewed after %s, want well before the end of %s", at, life)
		}
		if n := strings.Count(logged, "could not be renewed"); n != 1 {
			t.Errorf("said %d times, want once:\n%s", n, logged)
		}
	})
}

func TestAFileThatIsReplacedMeanwhileWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var file string
		m := &mint{}
		m.then = func(string) {
			if len(m.lives) == 1 {
				put(t, file, "from-the-operator\n")
			}
		}
		file = filepath.Join(t.TempDir(), "machine.token")
		put(t, file, "first-token\n")
		r := newRenewal(file, m, hclog.NewNullLogger(), func() float64 { return 0 })
		for range 2 { // met, and asked for
			r.turn(t.Context())
		}
		holds(t, file, "from-the-operator")
		if left, err := filepath.Glob(filepath.Join(filepath.Dir(file), ".machine*")); err != nil || len(left) > 0 {
			t.Errorf("left over: %v %v", left, err)
		}
		time.Sleep(time.Minute)
		for range 2 { // it is renewed in its turn
			r.turn(t.Context())
		}
		holds(t, file, "new-token-2")
	})
}
