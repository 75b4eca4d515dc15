package bench

import (
	"math"
	"slices"
	"time"
)

// Result is what one run found. What is counted is in all, of all members, unless
// it says otherwise. Times of a kind that was not measured are 0.
type Result struct {
	Kind    string `json:"kind"`
	Members int    `json:"members"`
	Leaders int    `json:"leaders"`
	Compat  string `json:"compat"`
	Facts   string `json:"facts"`
	TTL     string `json:"ttl"`
	// Endpoint is the URL of a foreign one, "" of an embedded one.
	Endpoint  string `json:"endpoint"`
	Processes bool   `json:"processes"` // each member had one of its own
	CPUs      int    `json:"cpus"`
	Load      string `json:"load"` // of this host before the run, as /proc/loadavg has it

	// Seconds is how long was counted. For form it is the time from the start of
	// the last member until each has seen all members and the leaders.
	Seconds float64 `json:"seconds"`
	// Waited is how long the members waited at the barrier, on average.
	Waited float64 `json:"waited_seconds"`
	// Release is the time from the moment at which the last member sent that it is
	// complete until each was released; Notice from the end of the last workflow to
	// that moment. What a process sends is not seen: then Release begins at that end,
	// and Notice is 0.
	Release Quantiles `json:"release_ms"`
	Notice  float64   `json:"notice_ms"`
	// Gap is the time from the cut until another member leads, Lost until the one
	// that was cut off had ceased to; a process is killed instead, and Lost is 0.
	Gap  float64 `json:"gap_ms"`
	Lost float64 `json:"lost_ms"`

	Requests  int64 `json:"requests"` // of members, for profile and machine
	Conflicts int64 `json:"conflicts"`
	// Bytes on the wire if the endpoint counted, else those of the bodies alone.
	BytesToClients   int64 `json:"bytes_to_clients"`
	BytesFromClients int64 `json:"bytes_from_clients"`
	// CountedBy is who counted those: endpoint or members.
	CountedBy string `json:"counted_by"`
	*ByEndpoint
	// ProfileBytes is the size of the profile's params before and after; the floor
	// of forming is Members times their mean to the clients.
	ProfileBytes [2]int64 `json:"profile_bytes"`

	AgentsCPU float64 `json:"agents_cpu_seconds"`
	AgentsRSS int64   `json:"agents_rss_bytes"` // at the end
	// EachProcess is there if each member had a process of its own.
	EachProcess *EachProcess `json:"each_process,omitempty"`
}

// ByEndpoint is what only the endpoint can tell; of a foreign one it is unknown, and
// absent in JSON.
type ByEndpoint struct {
	ProfileReads  int64 `json:"profile_reads"`
	ProfilePolls  int64 `json:"profile_polls"` // HEAD
	ProfileWrites int64 `json:"profile_writes"`
	MachineReads  int64 `json:"machine_reads"`
	MachinePolls  int64 `json:"machine_polls"`
	MachineWrites int64 `json:"machine_writes"`

	EndpointCPU float64 `json:"endpoint_cpu_seconds"`
	EndpointRSS int64   `json:"endpoint_rss_bytes"` // the most that it had
}

// EachProcess is what one member's process took.
type EachProcess struct {
	RSS  Quantiles `json:"rss_mb"` // at the end
	Anon Quantiles `json:"rss_anon_mb"`
	CPU  Quantiles `json:"cpu_percent"` // of a core, from 10 ms on
}

// Floor is how many bytes must go to the clients when they form.
func (r Result) Floor() int64 { return int64(r.Members) * (r.ProfileBytes[0] + r.ProfileBytes[1]) / 2 }

// Quantiles of times in milliseconds, or of what a name says.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// quantiles are of at least one time.
func quantiles(times []time.Duration) Quantiles {
	list := make([]float64, len(times))
	for i, d := range times {
		list[i] = milliseconds(d)
	}
	return quantilesOf(list)
}

// quantilesOf are of at least one value.
func quantilesOf(list []float64) Quantiles {
	slices.Sort(list)
	at := func(share float64) float64 {
		return list[max(0, int(math.Ceil(share*float64(len(list))))-1)] // the nearest rank
	}
	return Quantiles{P50: at(0.5), P99: at(0.99), Max: at(1)}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
