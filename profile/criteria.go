package profile

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Criteria say whom a barrier waits for, and when it is satisfied.
type Criteria struct {
	Of             string `json:"of"`              // OfComplete or OfArrival: what everybody has to have done
	Role           string `json:"role"`            // whom it waits for: a role, Worker, or "" for all expected members
	AllowMissing   string `json:"allow_missing"`   // "N" or "P%": absentees allowed at the deadline
	Deadline       string `json:"deadline"`        // Go duration, counted by each member from when it saw the barrier; "0s" is none
	FailFast       bool   `json:"fail_fast"`       // the first failure ends the wait
	AcceptComplete bool   `json:"accept_complete"` // a machine complete before its agent ever ran counts
}

// What members have to do at a barrier.
const (
	OfComplete = "complete" // complete their workflow
	OfArrival  = "arrival"  // say that they have arrived (`muster arrive`)
)

// Worker is the role of every expected member that holds no slot. Slots of
// roles on demand do not count.
const Worker = "worker"

// normal returns c with the defaults spelled out, as it is planted.
func (c Criteria) normal() Criteria {
	for _, v := range []struct {
		field *string
		usual string
	}{{&c.Of, OfComplete}, {&c.AllowMissing, "0"}, {&c.Deadline, "0s"}} {
		if *v.field == "" {
			*v.field = v.usual
		}
	}
	return c
}

// Check returns ErrInvalid for criteria that make no sense.
func (c Criteria) Check() error {
	c = c.normal()
	if c.Of != OfComplete && c.Of != OfArrival {
		return fmt.Errorf("%w: criteria: of: expected %s or %s, found %q; upgrade muster if a newer one wrote it", ErrInvalid, OfComplete, OfArrival, c.Of)
	}
	d, err := time.ParseDuration(c.Deadline)
	if err != nil || d < 0 {
		return fmt.Errorf("%w: deadline: expected a duration such as 30m, or 0s for none, found %q", ErrInvalid, c.Deadline)
	}
	if _, err := c.Allowed(100); err != nil {
		return err
	}
	if d == 0 && strings.Trim(c.AllowMissing, "0%") != "" {
		return fmt.Errorf("%w: allow-missing %s needs a deadline: before it nobody is late", ErrInvalid, c.AllowMissing)
	}
	return nil
}

// DeadlineIn returns the deadline, 0 for none.
func (c Criteria) DeadlineIn() time.Duration {
	d, err := time.ParseDuration(c.Deadline)
	if err != nil || d < 0 {
		return 0
	}
	return d
}

// Allowed returns how many of total may be missing at the deadline; percents
// are rounded down.
func (c Criteria) Allowed(total int) (int, error) {
	text, percent := strings.CutSuffix(c.normal().AllowMissing, "%")
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || percent && n > 100 {
		return 0, fmt.Errorf("%w: allow-missing: expected a count such as 2, or a share such as 10%%, found %q", ErrInvalid, c.AllowMissing)
	}
	if percent {
		return total * n / 100, nil
	}
	return n, nil
}

// Asked are the criteria that somebody asks for; nil is "as recorded", or the
// default where the barrier is yet to be planted.
type Asked struct {
	Role         *string `json:"role,omitempty"`
	AllowMissing *string `json:"allow_missing,omitempty"`
	Deadline     *string `json:"deadline,omitempty"`
	FailFast     *bool   `json:"fail_fast,omitempty"`
}

// Criteria returns those of a barrier that is planted as asked for.
func (a Asked) Criteria(of string) Criteria {
	c := Criteria{Of: of}
	a.over(&c)
	return c.normal()
}

// Check returns ErrCriteria if c is not what is asked for.
func (a Asked) Check(name string, c Criteria) error {
	c = c.normal()
	want := c
	a.over(&want)
	if want = want.normal(); sameCriteria(want, c) {
		return nil
	}
	has, err := json.Marshal(c)
	if err != nil {
		return err
	}
	asked, err := json.Marshal(want)
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: barrier %s has the criteria %s, asked for are %s; wait without asking for criteria, or at a barrier of another name", ErrCriteria, name, has, asked)
}

func (a Asked) over(c *Criteria) {
	for _, v := range []struct{ to, from *string }{{&c.Role, a.Role}, {&c.AllowMissing, a.AllowMissing}, {&c.Deadline, a.Deadline}} {
		if v.from != nil {
			*v.to = *v.from
		}
	}
	if a.FailFast != nil {
		c.FailFast = *a.FailFast
	}
}

// sameCriteria takes deadlines for durations: 60s is 1m.
func sameCriteria(a, b Criteria) bool {
	if a.DeadlineIn() == b.DeadlineIn() {
		a.Deadline = b.Deadline
	}
	return a == b
}

// CheckRole returns ErrNoSuch for what is no role that a barrier can wait for:
// one of muster/expected, one with slots, Worker, or "" for everybody.
func (d *Document) CheckRole(role string) error {
	if role == "" || role == Worker {
		return nil
	}
	expected, err := d.Expected()
	if err != nil {
		return err
	}
	slots, err := d.Slots()
	if err != nil {
		return err
	}
	names := append(append(sorted(slots), sorted(expected.Roles)...), Worker)
	if slices.Contains(names, role) {
		return nil
	}
	return fmt.Errorf("%w: role %q: expected one of %s", ErrNoSuch, role, strings.Join(names, ", "))
}

var barrierName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// BarrierSpec is a barrier that whoever comes first opens in the present round.
type BarrierSpec struct {
	Name  string
	Of    string // OfComplete or OfArrival
	Asked Asked
}

// Plan plants the barrier in the round of now. It returns a nil change if it is
// there, and ErrCriteria if it is there with other criteria.
func (s BarrierSpec) Plan(d *Document) (*Change, error) {
	round, err := d.Round()
	if err != nil {
		return nil, err
	}
	b, planted, err := d.Barrier(s.Name, round.N)
	if err != nil {
		return nil, err
	}
	if planted {
		return nil, s.Asked.Check(s.Name, b.Criteria)
	}
	return s.Open(d, round)
}

// Open returns the change that plants the barrier in round, which is the round
// of d and has no barrier of this name. It tests all barriers as a whole, since
// absence cannot be tested (wire contract, fact 2).
func (s BarrierSpec) Open(d *Document, round Round) (*Change, error) {
	if s.Name == BarrierComplete {
		return nil, fmt.Errorf("%w: round %d has no barrier %s, which is planted with it; open a new round with `muster round --force`", ErrMalformed, round.N, s.Name)
	}
	if !barrierName.MatchString(s.Name) {
		return nil, fmt.Errorf("%w: barrier: expected up to 64 letters, digits, dots, dashes and underscores, found %q", ErrInvalid, s.Name)
	}
	criteria := s.Asked.Criteria(s.Of)
	if err := criteria.Check(); err != nil {
		return nil, err
	}
	if err := d.CheckRole(criteria.Role); err != nil {
		return nil, err
	}
	all, err := decode[map[string]json.RawMessage](d, ParamBarriers, "{NAME: {ROUND: barrier}}")
	if err != nil {
		return nil, err
	}
	c := &Change{}
	c.TestAsRead(d, At(ParamRound))
	c.TestAsRead(d, At(ParamBarriers))
	barrier := newBarrier(round, criteria)
	if all[s.Name] == nil {
		c.Set(At(ParamBarriers, s.Name), map[string]Barrier{strconv.Itoa(round.N): barrier})
	} else {
		c.Set(At(ParamBarriers, s.Name, strconv.Itoa(round.N)), barrier)
	}
	return c, nil
}

// newBarrier returns a barrier of round, open.
func newBarrier(round Round, c Criteria) Barrier {
	return Barrier{ID: round.ID, Criteria: c.normal(), Missing: []string{}, Failed: []string{}, At: time.Now().Unix()}
}
