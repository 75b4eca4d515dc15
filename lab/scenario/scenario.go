package scenario

import (
	"errors"
	"time"
)

// ErrInvalid is wrapped by the errors of a scenario that cannot be run.
var ErrInvalid = errors.New("scenario")

// Scenario is a checked file.
type Scenario struct {
	File      string
	Name      string
	Members   []string
	Roles     []Role // leader first
	Workflows []string
	Round     Round // the first
	Steps     []Step
	Timeline  []Entry
}

// Role is one whose slots the members race for.
type Role struct {
	Name     string
	Slots    int
	TTL      string // "" is sticky
	OnDemand bool
}

// Round is how a round is opened.
type Round struct {
	Workflow     string        // that the machines run in it; "" is none
	FailFast     bool          // the first failure ends its barrier
	Deadline     time.Duration // of its barrier; 0 is none
	AllowMissing string        // N or P%; "" is none
	Force        bool          // though the round before has no verdict
}

// Step is a command of the members. It is one of the host, which the agent runs in
// every round, unless AtOnce or Lead make it one that the timeline runs.
type Step struct {
	Name        string
	Role        string
	After       []string
	Limit       time.Duration
	Timeout     time.Duration
	Workflow    string        // in the place of a command
	AtOnce      string        // a rolling step
	MaxFailures int           // of a rolling step
	Lead        string        // the role under which it runs, as by muster lead
	Takes       time.Duration // how long the command takes
	Fails       []string      // members on which it fails
	Command     []string      // in the place of one that only takes time
}

// byHand tells a step that the timeline runs.
func (s Step) byHand() bool { return s.AtOnce != "" || s.Lead != "" }

// Entry is one of the timeline: an action or an expectation.
type Entry struct {
	Line   int
	At     time.Duration // not before this time after the start
	Action *Action
	Expect *Expectation
}

// Verbs of actions.
const (
	verbKill      = "kill"
	verbStop      = "stop"
	verbRestart   = "restart"
	verbDrop      = "drop"
	verbPartition = "partition"
	verbHeal      = "heal"
	verbExpire    = "expire"
	verbRenew     = "renew"
	verbComplete  = "complete"
	verbFail      = "fail"
	verbEndpoint  = "endpoint"
	verbRound     = "round"
	verbRun       = "run"
	verbOperator  = "operator"
)

// Action is something that is done to the cluster.
type Action struct {
	Verb    string
	Members []string // names, labels, all, holder:ROLE[/SLOT] or running:STEP
	As      string   // label for these members, or ""
	Round   Round
	Step    string
	Up      bool     // of the endpoint
	Words   []string // of muster, as an operator
}

// What an expectation is about.
const (
	aboutHolders = "holders"
	aboutRunning = "running"
	aboutBegan   = "began"
	aboutEnded   = "ended"
	aboutMembers = "members"
	aboutVerdict = "verdict"
	aboutOrder   = "order"
)

// Expectation is what has to be seen.
type Expectation struct {
	Line  int
	About string
	Of    string   // the role, the step, the state of members or the verdict
	AnyOf []string // the steps of which one runs

	// Of a set of members.
	Exactly, AtMost, AtLeast int // -1 is not given
	Who, Not                 []string

	Round           int      // of a verdict or of runs; 0 is the present one
	Barrier         string   // of a verdict
	Failed, Missing []string // of a verdict, exactly; nil is not given
	Order           []string // steps

	Within time.Duration // it comes true in this time, or
	For    time.Duration // it is true all this time, or
	Rest   bool          // it is true from here to the end
}
