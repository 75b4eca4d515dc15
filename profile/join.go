package profile

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// Joining is what a member says about itself when it joins.
type Joining struct {
	Name     string
	Address  string
	Version  string
	Hardware string // hash of this host's hardware (facts.HardwareID)
	// Facts returns the fact sheet in at most budget bytes, or nil for none.
	Facts func(budget int) (json.RawMessage, error)
	// NewLife takes the record over from whoever had it, and starts anew.
	NewLife bool
}

// Join makes the member part of the cluster, in one patch of record and fact
// sheet, and returns the profile right after. It does not write when the
// record already says everything, as after a restart. Beside the errors of
// Write it returns ErrNotSeeded and ErrMalformed of Document.Check; ErrTwin
// when the machine has joined with another state directory (or, with none of
// ours yet, from other hardware: a clone); ErrForgotten when an operator has
// removed it. The table is in DESIGN under "Identity".
func (m *Member) Join(ctx context.Context, j Joining) (*Document, error) {
	end, err := m.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	m.fresh = true // the view was made for this
	if j.NewLife { // whatever was remembered is another life's
		s := &m.state
		s.Instance, s.Write, s.Pending, s.Tenures = "", "", nil, nil
	}
	doc, _ := m.view.Latest()
	if doc, err = m.supposed(doc); err != nil {
		return nil, err
	}
	return m.write(ctx, doc, func(d *Document) (*Change, error) {
		if err := d.Check(); err != nil {
			return nil, err
		}
		record, exists, err := d.Record(m.state.UUID)
		if err != nil {
			return nil, err
		}
		again, err := m.identify(d, record, exists, j)
		if err != nil {
			return nil, err
		}
		return m.joinChange(d, record, exists, again, j)
	})
}

// identify decides who this member is: it settles or resets m.state, and
// reports whether the member was part of the cluster in this life already.
func (m *Member) identify(d *Document, record Record, exists bool, j Joining) (again bool, err error) {
	s := &m.state
	before := s.Write != "" || len(s.Pending) > 0 // this state directory may have joined
	switch {
	case before && record.Instance == s.Instance && exists && s.Hardware != "" && s.Hardware != j.Hardware:
		return false, fmt.Errorf("%w: the state directory belongs to other hardware (%.8s, this is %.8s): is this host a copy of the member's? Take over with --new-life if the old host is gone, or its network cards were changed", ErrTwin, s.Hardware, j.Hardware)
	case before && record.Instance == s.Instance && exists:
		return true, m.settle(d)
	case j.NewLife:
		m.newLife(j)
	case s.Write != "" && (!exists || record.Instance == "" && record.Seq >= s.Seq):
		return false, m.settle(d) // forgotten
	case s.Write != "" && record.Instance == "": // the document was restored from before: join again
	case s.Write != "":
		return false, m.settle(d) // foreign instance: a twin
	case record.Instance == "" || record.Hardware == j.Hardware && j.Hardware != "":
		m.newLife(j)
	default:
		return false, fmt.Errorf("%w: machine %s has already joined from other hardware (%.8s, this is %.8s): is this host a clone, or its UUID wrong? Take over with --new-life if the old host is gone", ErrTwin, s.UUID, record.Hardware, j.Hardware)
	}
	return false, nil
}

// newLife starts a new instance, unless one is started and has not landed yet.
func (m *Member) newLife(j Joining) {
	s := &m.state
	if s.Instance == "" || s.Write != "" {
		s.Instance, s.Life, s.Pending = m.newID(), m.newID(), nil
	}
	s.Seq, s.Write, s.Tenures, s.Hardware = 0, "", nil, j.Hardware
}

func (m *Member) joinChange(d *Document, record Record, exists, again bool, j Joining) (*Change, error) {
	s := &m.state
	c := &Change{}
	own := At(ParamMembers, s.UUID)
	at := func(leaf string) Pointer { return At(ParamMembers, s.UUID, leaf) }

	if !exists {
		c.TestAsRead(d, At(ParamJoins))
		joins, err := decode[int64](d, ParamJoins, "an integer")
		if err != nil {
			return nil, err
		}
		c.Set(At(ParamJoins), joins+1)
		c.Set(own, plantRecord(nil))
	} else if !again {
		c.TestAsRead(d, at("instance"))
	}
	set := func(leaf, old, v string) {
		if !again || old != v {
			c.Set(at(leaf), v)
		}
	}
	set("instance", record.Instance, s.Instance)
	set("life", record.Life, s.Life)
	set("name", record.Name, j.Name)
	set("address", record.Address, j.Address)
	set("hardware", record.Hardware, j.Hardware)
	set("version", record.Version, j.Version)
	set("state", record.State, "joined")
	if !again {
		c.Set(at("run"), struct{}{}) // none yet: its leaves are written with the first
		c.Set(at("results"), map[string]string{})
		c.Set(at("steps"), map[string]Step{})
		c.Set(at("arrived"), map[string]string{})
	}
	if err := m.joinRoles(d, c, record, exists, again); err != nil {
		return nil, err
	}
	if err := m.joinExpected(d, c, record, again); err != nil {
		return nil, err
	}
	if err := m.joinFacts(d, c, j); err != nil {
		return nil, err
	}
	if ops, err := c.Ops(); err != nil || len(ops) > 0 || len(s.Pending) > 0 {
		return c, err // what is pending from before cannot land after this
	}
	return nil, nil
}

// joinRoles plants the bar of every role that the record lacks, and frees the
// slots that an earlier life of this machine left behind.
func (m *Member) joinRoles(d *Document, c *Change, record Record, exists, again bool) error {
	slots, err := d.Slots()
	if err != nil {
		return err
	}
	for _, role := range slices.Sorted(maps.Keys(slots)) {
		if _, ok := record.Barred[role]; !ok {
			if exists {
				c.TestAsRead(d, At(ParamMembers, m.state.UUID, "barred"))
			}
			c.Set(At(ParamMembers, m.state.UUID, "barred", role), "")
		}
		for _, n := range SlotNumbers(slots[role]) {
			// One without an instance is adopted, to be claimed by this member.
			if s := slots[role][n]; !again && s.Holder == m.state.UUID && s.Instance != "" && s.Instance != m.state.Instance {
				old := Tenure{Role: role, Slot: n, Instance: s.Instance, Epoch: s.Epoch}
				release, err := Release(d, old, m.state.UUID, EventReleased)
				if err != nil {
					return err
				}
				c.tests, c.sets = append(c.tests, release.tests...), append(c.sets, release.sets...)
			}
		}
	}
	return nil
}

// joinExpected makes the member one of the expected, while a self-seeded cluster
// has room. The version tells verdicts, and others that join, of the longer list;
// and of a new life that takes back what its record said about the round of now,
// which a member that has not read the records since would count.
func (m *Member) joinExpected(d *Document, c *Change, record Record, again bool) error {
	e, err := d.Expected()
	if err != nil {
		return err
	}
	round, err := d.Round()
	if err != nil {
		return err
	}
	comes := len(e.Members) < e.Count && !slices.Contains(e.Members, m.state.UUID)
	takesBack := !again && record.countsIn(round)
	if !comes && !takesBack {
		return nil
	}
	c.TestAsRead(d, At(ParamExpected, "version"))
	c.Set(At(ParamExpected, "version"), e.Version+1)
	if comes {
		c.Append(At(ParamExpected, "members"), m.state.UUID)
	}
	return nil
}

// countsIn reports whether the record has a result or an arrival in a round.
func (r Record) countsIn(round Round) bool {
	return r.Results[strconv.Itoa(round.N)] != "" || slices.Contains(slices.Collect(maps.Values(r.Arrived)), round.ID)
}

func (m *Member) joinFacts(d *Document, c *Change, j Joining) error {
	budget, err := d.FactsBudget()
	if err != nil || j.Facts == nil {
		return err
	}
	sheet, err := j.Facts(budget)
	if err != nil {
		return fmt.Errorf("fact sheet: %w", err)
	}
	if old, _ := d.Lookup(At(ParamFacts, m.state.UUID)); sheet != nil && !SameJSON(old, sheet) {
		c.Set(At(ParamFacts, m.state.UUID), sheet)
	}
	return nil
}

// EmptyRecord is the record of a member that never joined, with all its leaves.
func EmptyRecord(roles []string) Record {
	return Record{Results: map[string]string{}, Steps: map[string]Step{}, Arrived: map[string]string{}, Barred: notBarred(roles)}
}

func notBarred(roles []string) map[string]string {
	barred := map[string]string{}
	for _, role := range roles {
		barred[role] = ""
	}
	return barred
}

// plantedRecord is what of EmptyRecord is planted for an expected member: what
// joining and barring test, and no more. Each byte of it is in every answer to a
// write of a thousand others.
type plantedRecord struct {
	Instance string            `json:"instance"`
	Seq      int64             `json:"seq"`
	Results  map[string]string `json:"results"`
	Barred   map[string]string `json:"barred"`
}

func plantRecord(roles []string) plantedRecord {
	return plantedRecord{Results: map[string]string{}, Barred: notBarred(roles)}
}
