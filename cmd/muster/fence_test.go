package main

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"muster/profile"
)

// A host loses its tenure, every second time it wins another, and a command
// that still runs under the old one writes.
func TestSetUnderAStaleTenureIsRefusedAlsoWhenTheHostHasWonAgain(t *testing.T) {
	for _, compat := range []string{"", "3.13"} {
		t.Run("compat "+compat, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			c := newHosts(t, compat, 2)
			for _, h := range c.hosts {
				h.startAgent()
			}
			tries := proof(4, 100)
			for i := range tries {
				stale := c.await("somebody leads", func(s profile.Slot) bool { return !s.Free() })
				h := c.host(stale.Holder)
				fresh := fmt.Sprintf("%d", i)
				if out, code := h.set(fresh, stale.Slot); code != exitOK {
					t.Errorf("try %d: under the tenure that holds: exit code %d: %s", i, code, out)
				}
				next := c.handOver(h)
				if i%2 == 0 {
					if won := c.handOver(c.host(next.Holder)); won.Holder != h.uuid {
						t.Fatalf("%s leads, want %s again", won.Holder, h.uuid)
					}
				}
				out, code := h.set(`"stale"`, stale.Slot)
				if code != exitLost || !strings.Contains(out, "is not held in epoch") {
					t.Errorf("try %d: under a stale tenure: exit code %d, want %d: %s", i, code, exitLost, out)
				}
				params, err := c.store.ReadParams(t.Context(), "site/fenced")
				if err != nil || string(params["site/fenced"]) != fresh {
					t.Errorf("try %d: the param is %s (%v), want %s", i, params["site/fenced"], err, fresh)
				}
				if t.Failed() {
					return
				}
			}
			t.Logf("%d tries, %d of them after the same host had won again: all refused", tries, (tries+1)/2)
		})
	}
}

// set sets a param as a command does that runs under the tenure of the slot.
func (h *host) set(value string, s profile.Slot) (out string, code int) {
	h.of.t.Helper()
	cmd := h.command("set", "site/fenced", value, "--fenced", profile.Leader)
	cmd.Env = append(cmd.Env, "MUSTER_ROLE="+profile.Leader, "MUSTER_SLOT=1", fmt.Sprintf("MUSTER_EPOCH=%d", s.Epoch), "MUSTER_INSTANCE="+s.Instance)
	return h.of.finish(cmd)
}

// handOver makes the holder resign, and returns the slot as another holds it.
func (c *hosts) handOver(holder *host) heldSlot {
	c.t.Helper()
	for late := time.Now().Add(patience); ; {
		out, code := c.finish(holder.command("resign", profile.Leader))
		if code == exitOK {
			break
		}
		// Its agent may not have heard yet that the claim landed.
		if !strings.Contains(out, "no slot of the role is held") || time.Now().After(late) {
			c.t.Fatalf("resign: exit code %d: %s", code, out)
		}
	}
	return c.await("another host leads", func(s profile.Slot) bool { return !s.Free() && s.Holder != holder.uuid })
}

func (c *hosts) finish(cmd *exec.Cmd) (out string, code int) {
	c.t.Helper()
	raw, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		c.t.Fatal(err)
	}
	return string(raw), cmd.ProcessState.ExitCode()
}
