// Package metrics counts what an operator would alert on, and writes it in the
// text format of Prometheus (version 0.0.4). It is some dozens of lines, because
// the usual library costs more than the program that would use it.
//
// Only what is in Families can be told: docs/metrics.md lists the same.
package metrics

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Family is one metric, with all its label values.
type Family struct {
	Name   string
	Type   string // counter or gauge
	Help   string
	Labels []string
}

// Names of the metrics. Units are in the names, as Prometheus has them.
const (
	BuildInfo        = "muster_build_info"
	StartTime        = "muster_start_time_seconds"
	Requests         = "muster_requests_total"
	SentBytes        = "muster_sent_bytes_total"
	ReceivedBytes    = "muster_received_bytes_total"
	Conflicts        = "muster_conflicts_total"
	WriteRetries     = "muster_write_retries_total"
	TokenRetries     = "muster_token_retries_total"
	WatchTrouble     = "muster_watch_trouble"
	LastReadAge      = "muster_last_read_age_seconds"
	LateLoops        = "muster_late_loops"
	Round            = "muster_round"
	SlotLed          = "muster_slot_led"
	LeaseSecondsLeft = "muster_lease_seconds_left"
	Waits            = "muster_waits"
	TokenSecondsLeft = "muster_token_seconds_left"
)

// Families are all metrics, in the order in which they are written.
var Families = []Family{
	{BuildInfo, "gauge", "1, with the version of muster and of Go.", []string{"version", "go_version"}},
	{StartTime, "gauge", "When the agent joined, in Unix seconds.", nil},
	{Requests, "counter", "Requests to the endpoint, by method and class of the status; none is no answer.", []string{"method", "status"}},
	{SentBytes, "counter", "Bytes of request bodies.", nil},
	{ReceivedBytes, "counter", "Bytes of answers' bodies.", nil},
	{Conflicts, "counter", "Patches whose tests did not hold: somebody else wrote first.", nil},
	{WriteRetries, "counter", "Writes of the member that were decided or sent again.", nil},
	{TokenRetries, "counter", "Requests sent again with another token after the first was refused.", nil},
	{WatchTrouble, "gauge", "1 while the profile cannot be watched, and gates stay shut; else 0.", nil},
	{LastReadAge, "gauge", "Seconds since the profile was last read, or seen to be unchanged.", nil},
	{LateLoops, "gauge", "Loops of the agent that are stuck; more than 0 fails /livez.", nil},
	{Round, "gauge", "Number of the round.", nil},
	{SlotLed, "gauge", "1 while this member leads the role by its own clock, else 0.", []string{"role"}},
	{LeaseSecondsLeft, "gauge", "Seconds until leadership of a lease ends unless it is renewed; not there for sticky slots.", []string{"role"}},
	{Waits, "gauge", "Commands of this host that wait at a barrier or a gate through the agent.", nil},
	{TokenSecondsLeft, "gauge", "Seconds until a token expires, where that is known; less than 0 if it has.", []string{"token"}},
}

// Set holds values. It is safe for concurrent use; a nil Set holds none.
type Set struct {
	mu     sync.Mutex
	values map[string]map[string]float64 // name → labels as written → value
}

// Add adds to a value. It panics for a name that Families lacks, or other than
// its labels: that is a slip of the pen.
func (s *Set) Add(name string, by float64, labels ...string) { s.change(name, by, false, labels) }

// Put sets a value. It panics as Add does.
func (s *Set) Put(name string, to float64, labels ...string) { s.change(name, to, true, labels) }

func (s *Set) change(name string, v float64, put bool, labels []string) {
	f := family(name)
	if len(labels) != len(f.Labels) {
		panic(fmt.Sprintf("metrics: %s has labels %q, not %q", name, f.Labels, labels))
	}
	if s == nil {
		return
	}
	var text strings.Builder
	for i, label := range f.Labels {
		fmt.Fprintf(&text, "%s%s=\"%s\"", strings.Repeat(",", min(i, 1)), label, escape.Replace(labels[i]))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.values == nil {
		s.values = map[string]map[string]float64{}
	}
	if s.values[name] == nil {
		s.values[name] = map[string]float64{}
	}
	if !put {
		v += s.values[name][text.String()]
	}
	s.values[name][text.String()] = v
}

var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func family(name string) Family {
	i := slices.IndexFunc(Families, func(f Family) bool { return f.Name == name })
	if i < 0 {
		panic("metrics: no family " + name)
	}
	return Families[i]
}

// Write writes every family, with the values that the sets have of it; a
// counter without labels that was never added to is 0.
func Write(w io.Writer, sets ...*Set) error {
	var text strings.Builder
	for _, f := range Families {
		fmt.Fprintf(&text, "# HELP %s %s\n# TYPE %s %s\n", f.Name, f.Help, f.Name, f.Type)
		values := map[string]float64{}
		if f.Type == "counter" && f.Labels == nil {
			values[""] = 0
		}
		for _, s := range sets {
			s.into(values, f.Name)
		}
		for _, labels := range slices.Sorted(maps.Keys(values)) {
			name := f.Name
			if labels != "" {
				name += "{" + labels + "}"
			}
			fmt.Fprintf(&text, "%s %s\n", name, strconv.FormatFloat(values[labels], 'g', -1, 64))
		}
	}
	_, err := io.WriteString(w, text.String())
	return err
}

func (s *Set) into(values map[string]float64, name string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.Copy(values, s.values[name])
}
