package main

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"muster/profile"
)

// commands run n commands at once, spread over the hosts of c, whose agents run.
func (c *hosts) commands(n int, do func(i int, h *host)) {
	c.t.Helper()
	for _, h := range c.hosts {
		h.startAgent()
	}
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i, c.hosts[i%len(c.hosts)]) })
	}
	all.Wait()
}

func eachCompat(t *testing.T, test func(t *testing.T, compat string)) {
	for _, compat := range []string{"", "3.13"} {
		t.Run("compat "+compat, func(t *testing.T) { test(t, compat) })
	}
}

func TestOfManyCommandsThatAddOneParamOneWins(t *testing.T) {
	eachCompat(t, func(t *testing.T, compat string) {
		c := newHosts(t, compat, 4)
		var won atomic.Int32
		var winner atomic.Value
		c.commands(16, func(i int, h *host) {
			value := fmt.Sprintf("by %d", i)
			switch out, code := c.finish(h.command("add", "site/primary", value)); {
			case code == exitOK:
				won.Add(1)
				winner.Store(value)
			case code != exitLost || !strings.Contains(out, "is there already"):
				t.Errorf("command %d: exit code %d, want %d: %s", i, code, exitLost, out)
			}
		})
		if won.Load() != 1 {
			t.Fatalf("%d have won", won.Load())
		}
		if out, code := c.finish(c.hosts[0].command("get", "site/primary")); code != exitOK || strings.TrimSpace(out) != winner.Load() {
			t.Errorf("exit code %d, the param is %s, and %q has won", code, out, winner.Load())
		}
	})
}

func TestNoCommandsIncrementIsLost(t *testing.T) {
	eachCompat(t, func(t *testing.T, compat string) {
		c := newHosts(t, compat, 4)
		if out, code := c.finish(c.hosts[0].command("set", "site/count", "0")); code != exitOK {
			t.Fatalf("exit code %d: %s", code, out)
		}
		var tries atomic.Int32
		c.commands(16, func(i int, h *host) {
			for {
				params, err := c.store.ReadParams(t.Context(), "site/count")
				if err != nil {
					t.Error(err)
					return
				}
				old := string(params["site/count"])
				n, _ := strconv.Atoi(old)
				tries.Add(1)
				out, code := c.finish(h.command("set", "site/count", strconv.Itoa(n+1), "--ref", old))
				if code == exitOK {
					return
				}
				if code != exitLost || !strings.Contains(out, profile.ErrLost.Error()) {
					t.Errorf("command %d: exit code %d: %s", i, code, out)
					return
				}
			}
		})
		if params, err := c.store.ReadParams(t.Context(), "site/count"); err != nil || string(params["site/count"]) != "16" {
			t.Errorf("the count is %s (%v), want 16", params["site/count"], err)
		}
		t.Logf("16 increments by %d commands", tries.Load())
	})
}
