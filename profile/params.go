package profile

// Names of the params of the cluster profile: the public contract. DRP's own
// cluster/… names keep their meaning; muster/… are ours.
const (
	ParamProfile     = "cluster/profile"      // string: must equal the profile's name
	ParamFilter      = "cluster/filter"       // string: drpcli filter words that select the members
	ParamLeaderCount = "cluster/leader-count" // integer: slots of role leader
	ParamLeaders     = "cluster/leaders"      // [{Address,Name,Uuid}]: mirror of the leader slots
	ParamEscape      = "cluster/escape"       // integer 0..4: its presence breaks every wait

	ParamFormat      = "muster/format"       // integer: version of this contract
	ParamExpected    = "muster/expected"     // Expected
	ParamRound       = "muster/round"        // Round
	ParamRoles       = "muster/roles"        // role → RoleOptions
	ParamWorkflows   = "muster/workflows"    // role → workflow that its members start on themselves; absent is none
	ParamSlots       = "muster/slots"        // role → slot number → Slot
	ParamMembers     = "muster/members"      // UUID → Record
	ParamFacts       = "muster/facts"        // UUID → fact sheet
	ParamFactsBudget = "muster/facts-budget" // integer: bytes a fact sheet may take
	ParamBarriers    = "muster/barriers"     // name → round → Barrier
	ParamSteps       = "muster/steps"        // name → round → RollingStep
	ParamOps         = "muster/ops"          // Ops: sequence of the operators' writes
	ParamJoins       = "muster/joins"        // integer: members added that the seed did not list
	ParamPaused      = "muster/paused"       // boolean: nobody claims
)

// Format is the version of the contract that this code writes and the highest
// that it understands.
const Format = 1

// Leader is the role whose slot count is cluster/leader-count.
const Leader = "leader"

// HotParams are what a waiting member reads, about 1 KB in all: never the
// records nor the fact sheets.
func HotParams() []string {
	return []string{
		ParamRound, ParamRoles, ParamSlots, ParamLeaderCount, ParamLeaders,
		ParamBarriers, ParamSteps, ParamWorkflows, ParamPaused, ParamEscape, ParamProfile, ParamFormat,
	}
}

// Round is one numbered pass of coordination.
type Round struct {
	N        int    `json:"n"`
	ID       string `json:"id"`       // random: the same number in a profile seeded anew or restored is another round
	Workflow string `json:"workflow"` // what the machines are to run, for people; "" is any
}

// Expected says whom the barrier waits for. It is frozen for a round.
type Expected struct {
	Version int                 `json:"version"` // rises with every change
	Round   int                 `json:"round"`
	Count   int                 `json:"count"`   // more than Members while a self-seeded cluster fills up
	Members []string            `json:"members"` // machine UUIDs, without the manager
	Roles   map[string][]string `json:"roles"`
}

// RoleOptions are the options of a role.
type RoleOptions struct {
	Slots int `json:"slots"` // not used for role leader, whose count is cluster/leader-count
	// TTL makes the role's slots leases: a Go duration, which counts from the
	// next tenure on; "" is sticky.
	TTL string `json:"ttl,omitempty"`
	// Priority ranks members, by UUID: the highest first, 0 never claims. Who
	// is not named has DefaultPriority.
	Priority map[string]int `json:"priority,omitempty"`
	// OnDemand leaves the role to hosts on which a command asks for it.
	OnDemand bool `json:"on_demand,omitempty"`
}

// DefaultPriority is the priority of members that a role does not name.
const DefaultPriority = 100

// PriorityOf returns the priority of a member in the role, at least 0.
func (o RoleOptions) PriorityOf(uuid string) int {
	if p, named := o.Priority[uuid]; named {
		return max(p, 0)
	}
	return DefaultPriority
}

// Slot is one place of a role. It is free when Holder is "".
type Slot struct {
	Holder   string       `json:"holder"`   // machine UUID
	Instance string       `json:"instance"` // the holder's instance nonce
	Epoch    int64        `json:"epoch"`    // of the present or, when free, the last tenure
	TTL      string       `json:"ttl"`      // of the present tenure, a Go duration; "" is sticky
	Renewal  string       `json:"renewal"`  // fresh and random with every renewal of a lease; "" for a sticky slot
	Wanted   string       `json:"wanted"`   // UUID that the slot is asked for, Anybody, or ""
	History  []Transition `json:"history"`  // the last few, oldest first
}

// Anybody, as what a slot is wanted for, asks its holder to make room for
// whoever comes.
const Anybody = "*"

// Transition is one change of hands. At is for people: nothing is decided by it.
type Transition struct {
	Event  string `json:"event"` // see EventClaimed and the others
	Holder string `json:"holder"`
	Epoch  int64  `json:"epoch"`
	At     int64  `json:"at"`               // Unix seconds of the endpoint's clock
	Reason string `json:"reason,omitempty"` // as an operator gave it
}

// Events of a slot's history.
const (
	EventClaimed     = "claimed"
	EventReleased    = "released"    // an earlier life of the machine, or a tenure that nobody remembers
	EventResigned    = "resigned"    // asked for on the holder's host
	EventTransferred = "transferred" // to the member that the slot is wanted for
	EventEvicted     = "evicted"
	EventDrained     = "drained" // above the slot count, or the holder's priority is 0
	EventExpired     = "expired" // the lease was not renewed, and somebody took over
	EventForgotten   = "forgotten"
	EventAdopted     = "adopted" // from cluster/leaders, as old content left it
)

// historyLength is how many transitions a slot keeps.
const historyLength = 8

// Free reports whether nobody holds the slot.
func (s Slot) Free() bool { return s.Holder == "" && s.Instance == "" }

// Record is what one member says about itself. The member alone writes it,
// but for Barred and for removal, which are the operators'.
type Record struct {
	Name     string            `json:"name"`
	Address  string            `json:"address"`
	Instance string            `json:"instance"` // "" : planted by the seed, not joined
	Seq      int64             `json:"seq"`      // rises by at least one with every write of the member
	Write    string            `json:"write"`    // random id of the member's last write
	Life     string            `json:"life"`     // nonce of one provisioning of the machine
	Hardware string            `json:"hardware"` // hash that tells a clone from a re-provisioned host
	Run      Run               `json:"run"`
	Results  map[string]string `json:"results"` // round → complete|failed|stopped, the last 4
	Steps    map[string]Step   `json:"steps"`   // name → last result of a gated local step
	Arrived  map[string]string `json:"arrived"` // barrier → id of the round in which the member arrived there last
	Barred   map[string]string `json:"barred"`  // role → reason, "" when not barred
	State    string            `json:"state"`   // joined, or "" before
	Version  string            `json:"version"` // of the agent
}

// Joined reports whether an agent has joined with this record.
func (r Record) Joined() bool { return r.Instance != "" }

// Run is one pass of the machine through its workflow, as its member numbers
// them. Round is 0 when the run belongs to no round.
type Run struct {
	N        int    `json:"n"`
	Round    int    `json:"round"`
	RoundID  string `json:"round_id"`
	Workflow string `json:"workflow"`
	Job      string `json:"job"`  // CurrentJob when last looked at, or before, if that was ""
	Task     int    `json:"task"` // CurrentTask when last looked at
	State    string `json:"state"`
	At       int64  `json:"at"` // Unix seconds by the member's clock when that was recorded, for people
	// Known is the id of the round that the member knew before it last looked
	// at the machine. It is kept by the member and not in the profile.
	Known string `json:"known,omitempty"`
}

// States of a run, and results of a round.
const (
	Running  = "running"
	Complete = "complete"
	Failed   = "failed"
	Stopped  = "stopped"
)

// Step is the recorded result of a gated local step.
type Step struct {
	Round  int    `json:"round"`
	Result string `json:"result"` // done | failed | unknown
	Exit   int    `json:"exit"`   // exit code of the command
}

// Barrier is where members wait for each other in one round. Criteria are
// fixed when it is planted; Verdict is written once.
type Barrier struct {
	ID       string   `json:"id"` // of the round
	Criteria Criteria `json:"criteria"`
	Verdict  string   `json:"verdict"` // "" while open
	Missing  []string `json:"missing"` // UUIDs
	Failed   []string `json:"failed"`  // UUIDs
	By       string   `json:"by"`      // UUID of the recording member, or "operator"
	At       int64    `json:"at"`      // Unix seconds by the clock of who planted it, for people
}

// Verdicts of a barrier. "" is open.
const (
	VerdictComplete   = "complete"
	VerdictPartial    = "partial"
	VerdictFailed     = "failed"
	VerdictExpired    = "expired"
	VerdictSuperseded = "superseded"
)

// BarrierComplete is the barrier that is planted with every round.
const BarrierComplete = "complete"

// roundsKept is how many rounds of a barrier stay in the profile.
const roundsKept = 8

// Ops is the operators' sequence, as seq and write are a member's.
type Ops struct {
	N     int64  `json:"n"`
	Write string `json:"write"`
}

// Mirror is one entry of cluster/leaders, in the shape of DRP's own content.
type Mirror struct {
	Address string `json:"Address"`
	Name    string `json:"Name"`
	UUID    string `json:"Uuid"`
}
