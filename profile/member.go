package profile

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"time"

	"muster/internal/backoff"
	"muster/internal/metrics"
	"muster/internal/pulse"
)

// State is what a member must remember across restarts to know its own writes
// again. It is saved before every write that it describes.
type State struct {
	Profile  string            `json:"profile"`
	UUID     string            `json:"uuid"`
	Instance string            `json:"instance"`
	Life     string            `json:"life"`
	Hardware string            `json:"hardware"`
	Seq      int64             `json:"seq"`     // of the last write known to have landed
	Write    string            `json:"write"`   // its id
	Used     int64             `json:"used"`    // highest seq that was ever sent
	Pending  []Pending         `json:"pending"` // sent since, outcome not known; at most one of them can land
	Epochs   map[string]int64  `json:"epochs"`  // role → highest epoch that this instance went for
	Tenures  map[string]Tenure `json:"tenures"` // role → last tenure claimed; held only if the profile confirms it
}

// Pending is a write that was sent and may land.
type Pending struct {
	Write string  `json:"write"`
	Claim *Tenure `json:"claim,omitempty"`
}

// Journal keeps a member's State. Save returns only when the state is durable.
type Journal interface {
	Save(State) error
}

// Plan decides a change on the state d of the profile. It is called again on a
// newer state after a conflict. A nil change means that nothing is left to do.
// An error ends the write and is returned as it is.
type Plan func(d *Document) (*Change, error)

// MemberConfig is what NewMember needs. The random sources may be nil.
type MemberConfig struct {
	Store   Store
	View    *View
	Journal Journal
	State   State // as the journal kept it; UUID is always set
	// NewID makes random ids; nil takes 128 bits of crypto/rand.
	NewID func() string
	// Random draws from [0, 1) for the jitter of retries; nil takes math/rand/v2.
	Random  func() float64
	Board   *pulse.Board // is told of writes that are under way; may be nil
	Metrics *metrics.Set // counts retries; may be nil
}

// Member writes to the profile as one member, under rule 3 of DESIGN: every
// change tests the member's own seq and sets the next seq and a fresh write id
// in the same patch. There is no other way for a member to write.
type Member struct {
	store   Store
	view    *View
	journal Journal
	newID   func() string
	random  func() float64
	board   *pulse.Board
	metrics *metrics.Set

	turn  chan struct{} // holds one token for the whole of a write: writes are made one after the other
	state State         // of whoever has the turn
	fresh bool          // of whoever has the turn: the profile was read after the write before had ended
	over  error         // set once the identity is lost: nothing is written any more

	mu    sync.Mutex // guards known
	known State      // copy of state, for everybody else
}

// NewMember returns the member that cfg.State describes.
func NewMember(cfg MemberConfig) *Member {
	m := &Member{store: cfg.Store, view: cfg.View, journal: cfg.Journal, newID: cfg.NewID, random: cfg.Random, board: cfg.Board, metrics: cfg.Metrics, turn: make(chan struct{}, 1), state: cfg.State}
	if m.newID == nil {
		m.newID = RandomID
	}
	if m.random == nil {
		m.random = mathrand.Float64
	}
	m.publish()
	return m
}

// begin takes the turn to write, and returns what gives it back. It is bounded
// by ctx: the write before may be outliving an endpoint that is away. After ctx
// has ended nothing is begun.
func (m *Member) begin(ctx context.Context) (end func(), err error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
	}
	for loop := pulse.From(ctx); ; {
		select {
		case m.turn <- struct{}{}:
			loop.Working()
			return func() { m.publish(); <-m.turn }, nil
		case <-loop.Idle("waiting for an earlier write"):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: an earlier write is still under way: %w", ErrUnavailable, context.Cause(ctx))
		}
	}
}

// publish tells what the member remembers to those who do not have the turn.
func (m *Member) publish() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known = m.state.clone()
}

func (s State) clone() State {
	s.Pending = slices.Clone(s.Pending)
	s.Tenures = maps.Clone(s.Tenures)
	s.Epochs = maps.Clone(s.Epochs)
	return s
}

// RandomID returns 128 random bits in hexadecimal.
func RandomID() string {
	b := make([]byte, 16)
	rand.Read(b) // never fails: crypto/rand aborts the program instead
	return hex.EncodeToString(b)
}

// UUID returns the machine UUID of the member.
func (m *Member) UUID() string { return m.state.UUID }

// State returns a copy of what the member remembers.
func (m *Member) State() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known.clone()
}

// Tenure returns the tenure under which the member holds a slot of role, and
// whether it does: the member claimed it and the state d confirms it.
func (m *Member) Tenure(d *Document, role string) (Tenure, bool) {
	m.mu.Lock()
	t, ok := m.known.Tenures[role]
	m.mu.Unlock()
	if !ok {
		return Tenure{}, false
	}
	slots, err := d.Slots()
	if err != nil {
		return Tenure{}, false
	}
	s := slots[role][t.Slot]
	return t, s.Holder == m.UUID() && s.Instance == t.Instance && s.Epoch == t.Epoch
}

// Write carries plan out and returns the profile right after. It returns when
// the change has landed, when plan wants none, or with an error: plan's own;
// ErrTwin or ErrForgotten, after which the member never writes again;
// ErrRefused, ErrNotFound, ErrInvalid from the store. Lost answers and an
// unavailable endpoint are outlived until ctx ends; the error then wraps
// ErrUnknownOutcome if a change may still land, else ErrUnavailable.
func (m *Member) Write(ctx context.Context, plan Plan) (*Document, error) {
	end, err := m.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	m.fresh = false // a read that was overtaken by a write may have put older records into the view
	var after *Document
	err = m.board.Run(ctx, "writes", func(ctx context.Context) error { // others wait for the turn, however long it takes
		doc, _ := m.view.Latest()
		after, err = m.write(ctx, doc, func(d *Document) (*Change, error) {
			err := m.settle(d)
			if errors.Is(err, ErrTwin) || errors.Is(err, ErrForgotten) {
				m.over = err
			}
			if err != nil {
				return nil, err
			}
			return plan(d)
		})
		return err
	})
	return after, err
}

// conflictsMost bounds how often a change is decided again. It is far above
// what honest races produce: beyond it the profile refuses the change for a
// reason that reading it again does not show.
const conflictsMost = 30

// write loops over plan with the turn taken, from the state doc on. plan must have
// settled the member's own record.
func (m *Member) write(ctx context.Context, doc *Document, plan Plan) (*Document, error) {
	wait := backoff.New(20*time.Millisecond, 5*time.Second, m.random)
	race := backoff.New(20*time.Millisecond, time.Second, m.random) // many who want one leaf come back one by one
	sent := map[string]bool{}                                       // ids that this call has sent
	var unknown error                                               // of a change of this call that may still land
	for conflicts := 0; ; {
		if m.over != nil {
			return doc, m.over
		}
		change, err := plan(doc)
		if errors.Is(err, errBehind) {
			if doc, err = m.reread(ctx, wait); err != nil {
				return doc, orUnknown(err, unknown)
			}
			continue
		}
		if sent[m.state.Write] || (err == nil && change == nil) {
			return doc, m.over // one of this call's own attempts has landed
		}
		if err != nil {
			return doc, err
		}
		id := m.newID()
		sent[id] = true
		after, err := m.send(ctx, doc, change, id)
		switch {
		case err == nil:
			return after, nil
		case errors.Is(err, ErrConflict):
			if conflicts++; conflicts > conflictsMost {
				err = fmt.Errorf("refused %d times though it was read again each time: %w", conflicts, err)
				return doc, orUnknown(err, unknown)
			}
			if backoff.Sleep(ctx, race.Next()) != nil {
				return doc, orUnknown(err, unknown)
			}
		case errors.Is(err, ErrUnavailable), errors.Is(err, ErrUnknownOutcome):
			if errors.Is(err, ErrUnknownOutcome) {
				unknown = err
			}
			if conflicts = 0; backoff.Sleep(ctx, wait.Next()) != nil {
				return doc, orUnknown(err, unknown)
			}
		default:
			return doc, orUnknown(err, unknown)
		}
		m.metrics.Add(metrics.WriteRetries, 1)
		fresh, rerr := m.reread(ctx, wait)
		if rerr != nil {
			return doc, orUnknown(errors.Join(err, rerr), unknown)
		}
		doc = fresh
	}
}

// orUnknown returns err, and unknown, if any, with it: what ends a write says
// nothing about an earlier attempt that may still land.
func orUnknown(err, unknown error) error {
	if unknown == nil || errors.Is(err, ErrUnknownOutcome) {
		return err
	}
	return fmt.Errorf("%w; an attempt before that: %w", err, unknown)
}

// send makes the pending write durable and applies change with the discipline
// of rule 3 added.
func (m *Member) send(ctx context.Context, d *Document, change *Change, id string) (*Document, error) {
	before := m.number()
	full := &Change{tests: slices.Clone(change.tests), sets: slices.Clone(change.sets), err: change.err}
	at := func(leaf string) Pointer { return At(ParamMembers, m.state.UUID, leaf) }
	// Never one that was sent before, whatever became of it, and of the profile
	// since; Used is 0 in what earlier versions kept.
	seq := max(m.state.Used, m.state.Seq+int64(len(m.state.Pending))) + 1
	if record, ok, err := d.Record(m.state.UUID); err != nil {
		return nil, err
	} else if ok {
		seq = max(seq, record.Seq+1)
		full.TestAsRead(d, at("seq"))
	}
	full.Set(at("seq"), seq)
	full.Set(at("write"), id)
	if _, err := full.Ops(); err != nil {
		return nil, err
	}

	m.state.Used = seq
	m.state.Pending = append(m.state.Pending, Pending{Write: id, Claim: change.claim})
	if t := change.claim; t != nil {
		m.state.Epochs = maps.Clone(m.state.Epochs)
		if m.state.Epochs == nil {
			m.state.Epochs = map[string]int64{}
		}
		m.state.Epochs[t.Role] = max(m.state.Epochs[t.Role], t.Epoch)
		m.publish() // the next attempt is another tenure, also if this one lands and a restore undoes it
	}
	if err := m.journal.Save(m.state.clone()); err != nil {
		m.state.Pending = m.state.Pending[:len(m.state.Pending)-1]
		return nil, fmt.Errorf("keep the pending write: %w", err)
	}
	after, err := m.store.Apply(ctx, full)
	if err != nil {
		// After a conflict a second copy of the request may arrive, when what it
		// tests is true again.
		if !errors.Is(err, ErrUnknownOutcome) && !errors.Is(err, ErrConflict) { // surely not applied, now or later
			m.state.Pending = m.state.Pending[:len(m.state.Pending)-1]
		}
		return nil, err
	}
	m.landed(seq, Pending{Write: id, Claim: change.claim})
	after = m.view.remembering(after)
	if !m.view.Put(after, before) {
		m.view.Refresh(ctx, m.store, HotParams()...) // else the watch's periodic look finds the newer state
	}
	return after, nil
}

// landed notes that p is the member's last write. Earlier ones can no longer
// land: their test of seq fails.
func (m *Member) landed(seq int64, p Pending) {
	m.state.Seq, m.state.Write, m.state.Pending = seq, p.Write, nil
	if p.Claim != nil {
		tenures := maps.Clone(m.state.Tenures)
		if tenures == nil {
			tenures = map[string]Tenure{}
		}
		tenures[p.Claim.Role] = *p.Claim
		m.state.Tenures = tenures
	}
	m.publish()
}

// errBehind means that the own record may be older than what the member knows,
// because the state that it is in was not read for this write.
var errBehind = errors.New("profile: the record may be out of date")

// settle compares the member's own record in d with what the member remembers,
// and adopts a write whose answer was lost (DESIGN, rule 4 and "Identity").
func (m *Member) settle(d *Document) error {
	record, ok, err := d.Record(m.state.UUID)
	switch {
	case err != nil && !m.fresh: // it may have been mended
		return errBehind
	case err != nil:
		return err
	}
	s := &m.state
	switch {
	case !m.fresh && (!ok || record.Seq < s.Seq):
		return errBehind
	case !ok, record.Instance == "" && record.Seq >= s.Seq:
		return fmt.Errorf("%w: its record in profile %q is gone; to take part again, restart muster with --new-life", ErrForgotten, d.Name)
	case record.Instance == "":
		return fmt.Errorf("%w: profile %q was restored from before this member joined; restart muster to join again", ErrForgotten, d.Name)
	case record.Instance != s.Instance:
		return fmt.Errorf("%w: the record of %s names instance %.8s, this is %.8s: another agent has joined as this machine; find it, or take over with --new-life", ErrTwin, s.UUID, record.Instance, s.Instance)
	case record.Write == s.Write && record.Seq == s.Seq:
		return nil
	case record.Seq <= s.Seq:
		// The document was restored: go on; tenures hold only as far as it
		// confirms them. Once it was, a newer backup may hold a write of old
		// with any number so far; a twin's is higher.
		s.Write = record.Write // what is pending stays so: it may have been sent since
		return nil
	}
	if i := slices.IndexFunc(s.Pending, func(p Pending) bool { return p.Write == record.Write }); i >= 0 {
		m.landed(record.Seq, s.Pending[i])
		return nil
	}
	return fmt.Errorf("%w: the record of %s was written (seq %d) by another process with this instance (seq %d here): is the state directory used or copied elsewhere?", ErrTwin, s.UUID, record.Seq, s.Seq)
}

// reread reads the whole profile again, outliving an unavailable endpoint.
func (m *Member) reread(ctx context.Context, wait *backoff.Backoff) (*Document, error) {
	for {
		before := m.number()
		d, err := m.store.Read(ctx)
		if err == nil {
			m.fresh = true
			d = m.view.remembering(d)
			if !m.view.Put(d, before) {
				m.view.Refresh(ctx, m.store, HotParams()...) // else the watch's periodic look finds the newer state
			}
			return d, nil
		}
		if !errors.Is(err, ErrUnavailable) || backoff.Sleep(ctx, wait.Next()) != nil {
			return nil, err
		}
	}
}

func (m *Member) number() uint64 {
	_, n := m.view.Latest()
	return n
}
