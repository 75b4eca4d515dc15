package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"muster/facts"
	"muster/internal/backoff"
	"muster/lab"
	"muster/profile"
	"muster/profile/drp"
)

const (
	tokenLife  = 24 * time.Hour
	endsWithin = 10 * time.Second // what a process has to end in that is told to
	sheetFull  = 2048             // bytes, the most that a seed grants
)

// stage is an endpoint with a cluster profile and its members.
type stage struct {
	cfg Config
	dir string
	site
	store   *drp.Store // with the powers of the user
	sheet   facts.Sheet
	uuids   []string // of the machines
	members []worker
	inside  []*member      // the same, unless they are processes
	procs   *lab.Processes // theirs

	working context.Context // until the run is over
	end     context.CancelCauseFunc
	running errgroup.Group // the members' loops
}

// open goes to the endpoint and fills it. Close the stage in any case.
func (s *stage) open(ctx context.Context) (err error) {
	s.working, s.end = context.WithCancelCause(ctx)
	if s.dir, err = os.MkdirTemp("", "muster-bench-"); err != nil {
		return err
	}
	s.procs = lab.NewProcesses(endsWithin)
	if err = s.site.open(ctx, s.cfg, s.dir, func(err error) { s.end(err) }); err != nil {
		return err
	}
	s.store = s.admin.Profile(s.name, drp.Token(s.own))
	if s.sheet, err = facts.Collect(ctx, facts.Config{AgentVersion: "bench"}); err != nil {
		return err
	}
	if err := s.addMachines(ctx); err != nil {
		return err
	}
	if err := s.seed(ctx); err != nil {
		return err
	}
	return s.addMembers(ctx)
}

// homeOf is the directory of a member.
func (s *stage) homeOf(name string) string { return filepath.Join(s.dir, name) }

// close ends the members, and then leaves the endpoint as it was.
func (s *stage) close(ctx context.Context) error {
	s.end(errOver)
	err := s.running.Wait()
	if s.procs != nil {
		s.procs.Stop()
	}
	for _, m := range s.members {
		m.close()
	}
	return errors.Join(err, s.site.close(context.WithoutCancel(ctx)), os.RemoveAll(s.dir))
}

// addMachines makes the machines; at a barrier each has a workflow of one task.
func (s *stage) addMachines(ctx context.Context) error {
	workflow := ""
	if s.cfg.Kind == Barrier {
		workflow = s.name
		if err := s.operator.AddWorkflow(ctx, workflow); err != nil {
			return err
		}
	}
	if _, err := s.operator.EnsureProfile(ctx, s.name); err != nil {
		return err
	}
	s.uuids = make([]string, s.cfg.Members)
	return s.each(ctx, func(ctx context.Context, i int) error {
		m, err := s.operator.AddMachine(ctx, s.machine(i), workflow, []string{s.name}, nil)
		s.uuids[i] = m.UUID
		return err
	})
}

// each calls fn for every member, a few at a time.
func (s *stage) each(ctx context.Context, fn func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i := range s.cfg.Members {
		g.Go(func() error { return fn(ctx, i) })
	}
	return g.Wait()
}

// seed plants the profile as `muster seed` does, with as much room for facts as
// is asked for.
func (s *stage) seed(ctx context.Context) error {
	seed := profile.Seed{Profile: s.name, Members: slices.Clone(s.uuids), Leaders: s.cfg.Leaders}
	if s.cfg.TTL != "" {
		seed.Options = map[string]profile.RoleOptions{profile.Leader: {TTL: s.cfg.TTL}}
	}
	operator := profile.NewOperator(s.store)
	if _, err := operator.Write(ctx, seed.Plan); err != nil {
		return err
	}
	budget := map[string]int{FactsFull: sheetFull, FactsOff: 0}
	if s.cfg.Facts == FactsBrief {
		return nil
	}
	_, err := operator.Write(ctx, func(d *profile.Document) (*profile.Change, error) {
		if now, err := d.FactsBudget(); err != nil || now == budget[s.cfg.Facts] {
			return nil, err
		}
		c := &profile.Change{}
		c.Set(profile.At(profile.ParamFactsBudget), budget[s.cfg.Facts])
		return c, nil
	})
	return err
}

func (s *stage) addMembers(ctx context.Context) error {
	s.members = make([]worker, s.cfg.Members)
	s.inside = make([]*member, 0, s.cfg.Members)
	for i, uuid := range s.uuids {
		own, shared, err := s.tokens(ctx, uuid)
		if err != nil {
			return err
		}
		if s.cfg.Processes {
			s.members[i], err = s.newProcess(own, shared, uuid, s.machine(i))
		} else {
			var m *member
			m, err = s.newMember(own, shared, uuid, s.machine(i))
			s.members[i], s.inside = m, append(s.inside, m)
		}
		if err != nil {
			s.members = s.members[:i]
			return err
		}
	}
	return nil
}

// start starts all members at once, and returns when then has returned for each.
// They go on working until the stage is closed. last is when the last was started.
func (s *stage) start(then func(ctx context.Context, m worker) error) (last time.Time, err error) {
	var steps errgroup.Group
	for _, m := range s.members {
		last = time.Now()
		steps.Go(func() error {
			err := s.begin(m)
			if err == nil {
				err = then(s.working, m)
			}
			if err != nil {
				err = fmt.Errorf("%s: %w", m.called(), err)
				s.end(err)
			}
			return err
		})
	}
	return last, steps.Wait()
}

// begin joins, and leaves the member working.
func (s *stage) begin(m worker) error {
	if err := m.join(s.working); err != nil {
		return fmt.Errorf("join: %w", err)
	}
	s.running.Go(func() error {
		err := m.run(s.working)
		s.end(err) // the run is no figure then; nil if it was over
		return err
	})
	return nil
}

// awaitFormed blocks until all have joined and the slots are held, as the
// administrator sees it.
func (s *stage) awaitFormed(ctx context.Context) error {
	for {
		d, err := s.store.Read(ctx)
		if err != nil {
			return err
		}
		if sightingOf(d, s.cfg.Members).joined == s.cfg.Members && held(d) >= s.cfg.Leaders {
			return nil
		}
		if err := backoff.Sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// profileBytes is the size of the params as they are.
func (s *stage) profileBytes(ctx context.Context) (int64, error) {
	d, err := s.store.Read(ctx)
	if err != nil {
		return 0, err
	}
	size := 0
	for name, raw := range d.Params {
		size += len(name) + len(raw)
	}
	return int64(size), nil
}
