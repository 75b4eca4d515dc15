package profile

import "time"

// Who waits at a barrier looks the more rarely the more are awaited, and often
// enough that a slot that is asked for it is still kept when it looks.
const (
	restEach = 800 * time.Millisecond
	restMost = 22 * time.Second
)

// MostRest is the longest time between a hint and the look of a member of this
// cluster that waits at a barrier; polling adds a fifth of it (ADR 16). It is no
// longer than a third of the shortest lease: each look is to see its holder's next
// renewal.
func (d *Document) MostRest() time.Duration {
	rest := restMost
	if expected, err := d.Expected(); err == nil {
		rest = min(rest, restEach*time.Duration(max(expected.Count, len(expected.Members))))
	}
	slots, _ := d.Slots()
	for _, all := range slots {
		for _, s := range all {
			if ttl, err := ParseTTL(s.TTL); err == nil && ttl > 0 {
				rest = min(rest, ttl/3)
			}
		}
	}
	return rest
}
