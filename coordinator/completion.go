package coordinator

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"muster/profile"
)

// RunJournal keeps the last run of the machine across restarts. SaveRun
// returns only when the run is durable.
type RunJournal interface {
	LoadRun() (profile.Run, error)
	SaveRun(profile.Run) error
}

// Completion watches one's own machine and records the result of its runs.
type Completion struct {
	Member  *profile.Member
	Store   profile.Store
	View    *profile.View
	Machine profile.MachineStore
	Journal RunJournal
	Logger  hclog.Logger
	// Outlook says how long looks at the machine may rest; nil takes the usual.
	Outlook profile.Outlook
	// Random draws from [0, 1); nil takes math/rand/v2.
	Random func() float64

	mu    sync.Mutex // held from before the machine is read until that is noted
	last  profile.Run
	noted string        // version of the machine that was noted last
	began bool          // a first look was taken
	start chan struct{} // closed then; made by who needs it first
}

// resultsKept is how many rounds of results a record keeps.
const resultsKept = 4

// Found is the machine as it was read before joining.
type Found struct {
	profile.Machine
	Known string // id of the round that the profile had when it was read before that, or ""
	Later bool   // the view has a state that was asked for after that
}

// Run watches until ctx ends, and returns its cause; or until the member's
// identity is lost. Trouble with the endpoint is outlived.
func (c *Completion) Run(ctx context.Context, first Found) error {
	last, err := c.Journal.LoadRun()
	if err != nil {
		return fmt.Errorf("last run of the machine: %w", err)
	}
	c.last = last // nobody else looks before it has begun
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	note := func(m Found) error {
		err := c.look(ctx, m)
		if errors.Is(err, profile.ErrTwin) || errors.Is(err, profile.ErrForgotten) {
			cancel(err)
		}
		return err
	}
	since, noted := first.Version, true
	c.mu.Lock()
	err = note(first)
	c.mu.Unlock()
	if err != nil {
		c.Logger.Warn("completion is held up", "err", err)
		since, noted = "", false // try again at once, though the machine does not change
	}
	look := func(ctx context.Context, _ string) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !noted {
			// How the machine was found says how its run began: it is noted
			// before what the machine has become since.
			if err := note(first); err != nil {
				return err
			}
			noted = true
		}
		return c.read(ctx, note)
	}
	follow := profile.Follow{Source: c.Machine, Since: since, Known: c.newest, Look: look, Outlook: c.Outlook, Random: c.Random, Trouble: func(err error) {
		if err != nil {
			c.Logger.Warn("own machine cannot be watched", "err", err)
		} else {
			c.Logger.Info("own machine is watched again")
		}
	}}
	return follow.Run(ctx)
}

// Look looks at the machine now, once Run has begun. A run that begins after it
// counts for the round that is known now though it is over before it is seen.
func (c *Completion) Look(ctx context.Context) error {
	c.mu.Lock()
	start := c.startLocked()
	c.mu.Unlock()
	select {
	case <-start:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read(ctx, func(m Found) error { return c.look(ctx, m) })
}

// read reads the machine, and hands it on with the round that was known before.
func (c *Completion) read(ctx context.Context, note func(Found) error) error {
	known := c.known()
	m, err := c.find(ctx)
	if err != nil {
		return err
	}
	if err := note(Found{Machine: m, Known: known}); err != nil {
		return err
	}
	c.noted = m.Version
	return nil
}

func (c *Completion) find(ctx context.Context) (profile.Machine, error) {
	m, err := c.Machine.Read(ctx)
	if err != nil {
		return m, fmt.Errorf("own machine: %w", err)
	}
	return m, nil
}

// newest implements Follow.Known: a machine that changed several times in a row
// was seen in its last state by the look after the first of the hints.
func (c *Completion) newest(version string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.noted == "" {
		return version
	}
	return c.noted
}

// startLocked is closed once a first look was taken.
func (c *Completion) startLocked() chan struct{} {
	if c.start == nil {
		c.start = make(chan struct{})
	}
	return c.start
}

// known is the id of the round that is open as far as this process knows.
func (c *Completion) known() string {
	d, _ := c.View.Latest()
	return RoundID(d)
}

// RoundID is the id of the round of the state d, "" if that cannot be told.
func RoundID(d *profile.Document) string {
	round, err := d.Round()
	if err != nil {
		return ""
	}
	return round.ID
}

// look takes note of the machine as it was found.
func (c *Completion) look(ctx context.Context, m Found) error {
	now, how := number(c.last, m.Machine, !c.began)
	now.Known = m.Known
	if how != goesOn {
		round, err := c.roundOf(ctx, now, how, m.Later)
		if err != nil {
			return err
		}
		if how != unseenOld && now.State != profile.Complete && round.ID != m.Known {
			if again, err := c.wentOn(ctx, now, round); again != nil || err != nil {
				if err == nil {
					err = c.look(ctx, *again)
				}
				return err
			}
		}
		now.Round, now.RoundID = round.N, round.ID
		c.Logger.Info("run of the machine", "run", now.N, "round", now.Round, "workflow", now.Workflow, "state", now.State)
	}
	if now != c.last {
		if err := c.Journal.SaveRun(now); err != nil {
			return fmt.Errorf("keep the run: %w", err)
		}
		c.last = now
	}
	if !c.began {
		c.began = true
		close(c.startLocked())
	}
	if now.Round == 0 {
		return nil
	}
	if err := Record(ctx, c.Member, now); err != nil {
		return fmt.Errorf("record the run: %w", err)
	}
	if now.State == profile.Running {
		return nil // no barrier is complete by that, and to know so takes all records
	}
	err := Judge(ctx, c.Member, c.View, nil)
	if err == nil || errors.Is(err, profile.ErrTwin) || errors.Is(err, profile.ErrForgotten) || ctx.Err() != nil {
		return err
	}
	c.Logger.Warn("the round cannot be judged", "err", err) // the run is recorded: that a referee tries again is enough
	return nil
}

// wentOn looks again at a machine that was found in the run now, as the round may
// have been opened after that and after the end of the run, which then is none of the
// round. It returns nil if that goes on, else what the machine has become.
func (c *Completion) wentOn(ctx context.Context, now profile.Run, round profile.Round) (*Found, error) {
	m, err := c.find(ctx)
	if err != nil {
		return nil, err
	}
	then, _ := number(c.last, m, !c.began)
	if then.Known = now.Known; then == now {
		return nil, nil
	}
	return &Found{Machine: m, Known: round.ID}, nil
}

// roundOf says which round a run belongs to. The round is read after the run
// was seen: rounds are opened before workflows start, so a run of the new round
// is never taken for one of the old (nor one of the old for one of the new: wentOn).
// A run that is complete when it is first
// seen may have ended before that round was opened: it belongs to no round,
// unless the round was known before the machine was last seen without it; or,
// for the first run ever seen, unless the seed accepts that.
func (c *Completion) roundOf(ctx context.Context, run profile.Run, how beginning, later bool) (profile.Round, error) {
	if how == unseenOld {
		return profile.Round{N: run.Round, ID: run.RoundID}, nil
	}
	d, _ := c.View.Latest()
	if !later {
		params, err := c.Store.ReadParams(ctx, profile.ParamRound, profile.ParamBarriers)
		if err != nil {
			return profile.Round{}, fmt.Errorf("read the round: %w", err)
		}
		d = &profile.Document{Params: params}
	}
	round, err := d.Round()
	if err != nil {
		return profile.Round{}, err
	}
	if c.known() != round.ID {
		// To a view that knows only the round before, the result would seem to belong
		// to no round, and would wait for the next look at the machine.
		if err := c.View.Refresh(ctx, c.Store, profile.ParamRound, profile.ParamBarriers); err != nil {
			return profile.Round{}, fmt.Errorf("read the round: %w", err)
		}
	}
	if run.State != profile.Complete {
		return round, nil
	}
	barrier, _, err := d.Barrier(profile.BarrierComplete, round.N)
	if err != nil {
		return profile.Round{}, err
	}
	switch {
	case how == unseenNew && barrier.Criteria.AcceptComplete:
	case how == unseenNew:
		c.Logger.Warn("the machine was complete before its agent ever ran: that counts for no round; run its workflow again, or seed with --accept-complete")
		return profile.Round{}, nil
	case c.last.Known != round.ID:
		c.Logger.Warn("the machine completed a run that may have ended before the round was opened: that counts for no round; run its workflow again", "round", round.N)
		return profile.Round{}, nil
	}
	return round, nil
}

// Record writes the state of a run as the member's result for the run's round.
// Complete is latched. A failed or stopped run that goes on takes its result
// back. It writes nothing when the record says so already, nor when the round is
// not in the profile (any more): it is rotated out, or the profile was seeded
// anew or restored, and the number means another round.
func Record(ctx context.Context, member *profile.Member, run profile.Run) error {
	_, err := member.Write(ctx, func(d *profile.Document) (*profile.Change, error) {
		record, _, err := d.Record(member.UUID())
		if err != nil {
			return nil, err
		}
		barrier, planted, err := d.Barrier(profile.BarrierComplete, run.Round)
		if err != nil || !planted || barrier.ID != run.RoundID {
			return nil, err
		}
		key := strconv.Itoa(run.Round)
		at := func(parts ...string) profile.Pointer {
			return profile.At(profile.ParamMembers, append([]string{member.UUID()}, parts...)...)
		}
		result, known := record.Results[key]
		c := &profile.Change{}
		c.TestAsRead(d, profile.At(profile.ParamBarriers, profile.BarrierComplete, key, "id"))
		switch {
		case result == run.State, result == profile.Complete, run.State == profile.Running && !known:
			return nil, nil
		case run.State == profile.Running:
			c.Remove(at("results", key))
		default:
			c.Set(at("results", key), run.State)
		}
		run.Known, run.At = "", time.Now().Unix()
		c.Set(at("run"), run)
		forgetOld(c, member.UUID(), record, run.Round)
		return c, nil
	})
	return err
}

// forgetOld has c remove the results that are too old to keep in round.
func forgetOld(c *profile.Change, uuid string, record profile.Record, round int) {
	for old := range record.Results {
		if n, err := strconv.Atoi(old); err == nil && n <= round-resultsKept {
			c.Remove(profile.At(profile.ParamMembers, uuid, "results", old))
		}
	}
}

// Report records what a task of the workflow says about itself, for a member
// that cannot watch its machine. Complete and failed belong to the round of the
// running before them, whatever round it is by now. It returns that round.
func Report(ctx context.Context, member *profile.Member, view *profile.View, said string) (int, error) {
	uuid := member.UUID()
	after, err := member.Write(ctx, func(d *profile.Document) (*profile.Change, error) {
		record, _, err := d.Record(uuid)
		if err != nil {
			return nil, err
		}
		if said == profile.Running {
			return reportRunning(d, uuid, record)
		}
		run := record.Run
		if run.Round == 0 {
			return nil, fmt.Errorf("%w: nothing is running; `muster report running` comes first, at the start of the workflow", ErrUsage)
		}
		key := strconv.Itoa(run.Round)
		barrier, planted, err := d.Barrier(profile.BarrierComplete, run.Round)
		if err != nil {
			return nil, err
		}
		if !planted || barrier.ID != run.RoundID {
			return nil, fmt.Errorf("%w: the round of the last `muster report running` is not in the profile any more; report running again, at the start of the workflow", ErrUsage)
		}
		if run.State == said || record.Results[key] == profile.Complete {
			return nil, nil
		}
		run.State, run.At = said, time.Now().Unix()
		at := profile.At(profile.ParamMembers, uuid, "run")
		c := &profile.Change{}
		c.TestAsRead(d, at+"/round_id")
		c.TestAsRead(d, profile.At(profile.ParamBarriers, profile.BarrierComplete, key, "id"))
		c.Set(at, run)
		c.Set(profile.At(profile.ParamMembers, uuid, "results", key), said)
		forgetOld(c, uuid, record, run.Round)
		return c, nil
	})
	if err != nil {
		return 0, err
	}
	record, _, err := after.Record(uuid)
	if err != nil {
		return 0, err
	}
	return record.Run.Round, Judge(ctx, member, view, nil)
}

// reportRunning begins a run in the round of now, which the change tests.
func reportRunning(d *profile.Document, uuid string, record profile.Record) (*profile.Change, error) {
	round, err := d.Round()
	if err != nil {
		return nil, err
	}
	c := &profile.Change{}
	c.TestAsRead(d, profile.At(profile.ParamRound))
	c.Set(profile.At(profile.ParamMembers, uuid, "run"), profile.Run{N: record.Run.N + 1, Round: round.N, RoundID: round.ID, Workflow: round.Workflow, State: profile.Running, At: time.Now().Unix()})
	if result, known := record.Results[strconv.Itoa(round.N)]; known && result != profile.Complete {
		c.Remove(profile.At(profile.ParamMembers, uuid, "results", strconv.Itoa(round.N)))
	}
	return c, nil
}
