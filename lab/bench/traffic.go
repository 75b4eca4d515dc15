package bench

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"muster/internal/metrics"
)

// traffic is what a member has counted itself.
type traffic struct {
	requests, conflicts int64
	sent, received      int64 // bytes of bodies
}

// traffic asks all members.
func (s *stage) traffic(ctx context.Context) ([]traffic, error) {
	list := make([]traffic, len(s.members))
	var g errgroup.Group
	for i, m := range s.members {
		g.Go(func() error {
			text, err := m.metrics(ctx)
			if err == nil {
				list[i], err = trafficOf(text)
			}
			if err != nil {
				err = fmt.Errorf("metrics of %s: %w", m.called(), err)
			}
			return err
		})
	}
	return list, g.Wait()
}

// trafficOf reads the text that metrics.Write writes.
func trafficOf(text string) (t traffic, err error) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, _, _ = strings.Cut(name, "{")
		to := map[string]*int64{
			metrics.Requests: &t.requests, metrics.Conflicts: &t.conflicts, metrics.SentBytes: &t.sent, metrics.ReceivedBytes: &t.received,
		}[name]
		if to == nil {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return t, err
		}
		*to += int64(n)
	}
	return t, nil
}
