package profile

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// RollingStep is a command that members run a few at a time, in one round. Who
// runs it sits on a seat; there are as many as may run at once.
type RollingStep struct {
	ID          string            `json:"id"`           // of the round
	AtOnce      string            `json:"at_once"`      // as asked for: "N" or "P%" of the expected members
	MaxFailures int               `json:"max_failures"` // one more stops the step for everybody
	Seats       map[string]string `json:"seats"`        // number → UUID of who runs it, or ""
	Failed      []string          `json:"failed"`       // UUIDs, since it was continued last
	Stopped     string            `json:"stopped"`      // why nobody begins any more, or ""
}

// Seat returns the seat of a member, "" for none.
func (s RollingStep) Seat(uuid string) string {
	for _, n := range sorted(s.Seats) {
		if s.Seats[n] == uuid && uuid != "" {
			return n
		}
	}
	return ""
}

// Open returns the first free seat, "" for none.
func (s RollingStep) Open() string {
	for _, n := range sorted(s.Seats) {
		if s.Seats[n] == "" {
			return n
		}
	}
	return ""
}

// RollingStep returns the rolling step of this name in a round, and whether there is one.
func (d *Document) RollingStep(name string, round int) (RollingStep, bool, error) {
	var s RollingStep
	const want = `{NAME: {ROUND: {"seats": {NUMBER: UUID}, "failed": [UUID], "stopped": string, …}}}`
	steps, err := decode[map[string]map[string]json.RawMessage](d, ParamSteps, want)
	raw, ok := steps[name][strconv.Itoa(round)]
	if err != nil || !ok {
		return s, false, err
	}
	if err := unmarshal(raw, &s); err != nil || len(s.Seats) == 0 {
		return s, true, fmt.Errorf("%w: step %q of round %d in %s: expected %s, with a seat at least, found %s (%v)", ErrMalformed, name, round, ParamSteps, want, clip(raw), err)
	}
	return s, true, nil
}

func seatAt(name string, round int, parts ...string) Pointer {
	return At(ParamSteps, append([]string{name, strconv.Itoa(round)}, parts...)...)
}

// RollingSpec is how a rolling step is asked for.
type RollingSpec struct {
	Name        string `json:"name"`
	AtOnce      string `json:"at_once,omitempty"`      // "" takes what is recorded
	MaxFailures *int   `json:"max_failures,omitempty"` // nil takes what is recorded, or 0
}

// Check returns ErrInvalid for what makes no sense.
func (s RollingSpec) Check() error {
	if !barrierName.MatchString(s.Name) {
		return fmt.Errorf("%w: step: expected up to 64 letters, digits, dots, dashes and underscores, found %q", ErrInvalid, s.Name)
	}
	if _, err := s.seats(100); s.AtOnce != "" && err != nil {
		return err
	}
	if s.MaxFailures != nil && *s.MaxFailures < 0 {
		return fmt.Errorf("%w: max-failures: expected 0 or more, found %d", ErrInvalid, *s.MaxFailures)
	}
	return nil
}

// seats returns how many of total may run at once: shares are rounded down, and
// one always may.
func (s RollingSpec) seats(total int) (int, error) {
	text, percent := strings.CutSuffix(s.AtOnce, "%")
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || percent && n > 100 || n > mostSlots {
		return 0, fmt.Errorf("%w: at-once: expected a count such as 2, or a share such as 10%%, found %q", ErrInvalid, s.AtOnce)
	}
	if percent {
		n = total * n / 100
	}
	return min(max(1, n), max(1, total)), nil
}

// Match returns ErrCriteria if the step is not what is asked for.
func (s RollingSpec) Match(there RollingStep) error {
	if s.AtOnce != "" && s.AtOnce != there.AtOnce {
		return fmt.Errorf("%w: step %s runs at once on %s, asked for is %s; leave --at-once out to take it as it is", ErrCriteria, s.Name, there.AtOnce, s.AtOnce)
	}
	if s.MaxFailures != nil && *s.MaxFailures != there.MaxFailures {
		return fmt.Errorf("%w: step %s tolerates %d failures, asked for are %d; leave --max-failures out to take it as it is", ErrCriteria, s.Name, there.MaxFailures, *s.MaxFailures)
	}
	return nil
}

// Begin plants the step in round, which is the round of d and has none of this
// name, with the member on its first seat. It tests all steps as a whole, since
// absence cannot be tested (wire contract, fact 2).
func (s RollingSpec) Begin(d *Document, round Round, uuid string) (*Change, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	expected, err := d.Expected()
	if err != nil {
		return nil, err
	}
	n, err := s.seats(len(expected.Members))
	if err != nil {
		return nil, err
	}
	step := RollingStep{ID: round.ID, AtOnce: s.AtOnce, Seats: map[string]string{}, Failed: []string{}}
	if s.MaxFailures != nil {
		step.MaxFailures = *s.MaxFailures
	}
	for i := range n {
		step.Seats[strconv.Itoa(i+1)] = ""
	}
	step.Seats["1"] = uuid
	c := &Change{}
	c.TestAsRead(d, At(ParamRound))
	c.TestAsRead(d, At(ParamSteps))
	if _, some := d.Lookup(At(ParamSteps, s.Name)); some {
		c.Set(seatAt(s.Name, round.N), step)
	} else {
		c.Set(At(ParamSteps, s.Name), map[string]RollingStep{strconv.Itoa(round.N): step})
	}
	return c, nil
}

// Sit returns the change by which a member takes a seat that is free. Nobody
// sits down once the step is stopped, or its round is over.
func Sit(d *Document, name string, round Round, seat, uuid string) *Change {
	c := &Change{}
	c.TestAsRead(d, At(ParamRound))
	c.TestAsRead(d, seatAt(name, round.N, "stopped"))
	c.TestAsRead(d, seatAt(name, round.N, "seats", seat))
	c.Set(seatAt(name, round.N, "seats", seat), uuid)
	return c
}

// Rise adds to c that the member leaves its seat. failed is why the step failed
// there, "" if it did not.
func (s RollingStep) Rise(d *Document, c *Change, name string, round int, seat, uuid, failed string) {
	at := func(parts ...string) Pointer { return seatAt(name, round, parts...) }
	c.TestAsRead(d, at("seats", seat))
	c.Set(at("seats", seat), "")
	if failed == "" {
		return
	}
	c.TestAsRead(d, at("failed"))
	c.Set(at("failed"), append(slices.Clone(s.Failed), uuid))
	if len(s.Failed) >= s.MaxFailures && s.Stopped == "" {
		c.Set(at("stopped"), failed)
	}
}

// ContinueStep lets members go on with a rolling step that was stopped.
type ContinueStep struct {
	Name string
}

// Plan returns a nil change if the step is not stopped. Those that failed may
// run it again.
func (s ContinueStep) Plan(d *Document) (*Change, error) {
	round, err := d.Round()
	if err != nil {
		return nil, err
	}
	step, there, err := d.RollingStep(s.Name, round.N)
	if err != nil {
		return nil, err
	}
	if !there {
		return nil, fmt.Errorf("%w: round %d has no rolling step %q: nobody has begun it", ErrNoSuch, round.N, s.Name)
	}
	if step.Stopped == "" && len(step.Failed) == 0 {
		return nil, nil
	}
	c := &Change{}
	c.TestAsRead(d, seatAt(s.Name, round.N, "failed")) // who fails meanwhile is not forgiven
	c.Set(seatAt(s.Name, round.N, "failed"), []string{})
	c.Set(seatAt(s.Name, round.N, "stopped"), "")
	return c, nil
}

// vacateSeats frees the seats of a member that is no more.
func (c *Change) vacateSeats(d *Document, uuid string) error {
	steps, err := decode[map[string]map[string]RollingStep](d, ParamSteps, "{NAME: {ROUND: step}}")
	if err != nil {
		return err
	}
	for _, name := range sorted(steps) {
		for _, round := range sorted(steps[name]) {
			if seat := steps[name][round].Seat(uuid); seat != "" {
				c.TestAsRead(d, At(ParamSteps, name, round, "seats", seat))
				c.Set(At(ParamSteps, name, round, "seats", seat), "")
			}
		}
	}
	return nil
}

// forgetSteps removes the rolling steps of rounds up to last. What was edited by
// hand stays.
func forgetSteps(d *Document, c *Change, last int) {
	var steps map[string]map[string]json.RawMessage
	if json.Unmarshal(d.Params[ParamSteps], &steps) != nil {
		return
	}
	for _, name := range sorted(steps) {
		for _, round := range sorted(steps[name]) {
			if n, err := strconv.Atoi(round); err == nil && n <= last {
				c.Remove(At(ParamSteps, name, round))
			}
		}
	}
}
