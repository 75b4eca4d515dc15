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
	CPUs    int    `json:"cpus"`
	Load    string `json:"load"` // of this host before the run, as /proc/loadavg has it

	// Seconds is how long was counted. For form it is the time from the start of
	// the last member until each has seen all members and the leaders.
	Seconds float64 `json:"seconds"`
	// Waited is how long the members waited at the barrier, on average.
	Waited float64 `json:"waited_seconds"`
	// Release is the time from the moment at which the last member sent that it is
	// complete until each was released; Notice from the end of the last workflow to
	// that moment.
	Release Quantiles `json:"release_ms"`
	Notice  float64   `json:"notice_ms"`
	// Gap is the time from the cut until another member leads, Lost until the one
	// that was cut off had ceased to.
	Gap  float64 `json:"gap_ms"`
	Lost float64 `json:"lost_ms"`

	Requests      int64 `json:"requests"` // of members: profile and machine
	ProfileReads  int64 `json:"profile_reads"`
	ProfilePolls  int64 `json:"profile_polls"` // HEAD
	ProfileWrites int64 `json:"profile_writes"`
	Conflicts     int64 `json:"conflicts"`
	MachineReads  int64 `json:"machine_reads"`
	MachinePolls  int64 `json:"machine_polls"`
	MachineWrites int64 `json:"machine_writes"`

	BytesToClients   int64 `json:"bytes_to_clients"`
	BytesFromClients int64 `json:"bytes_from_clients"`
	// ProfileBytes is the size of the profile's params before and after; the floor
	// of forming is Members times their mean to the clients.
	ProfileBytes [2]int64 `json:"profile_bytes"`

	EndpointCPU float64 `json:"endpoint_cpu_seconds"`
	EndpointRSS int64   `json:"endpoint_rss_bytes"` // the most that it had
	AgentsCPU   float64 `json:"agents_cpu_seconds"`
	AgentsRSS   int64   `json:"agents_rss_bytes"` // at the end
}

// Floor is how many bytes must go to the clients when they form.
func (r Result) Floor() int64 { return int64(r.Members) * (r.ProfileBytes[0] + r.ProfileBytes[1]) / 2 }

// Quantiles of times in milliseconds.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// quantiles are of at least one time.
func quantiles(times []time.Duration) Quantiles {
	slices.Sort(times)
	at := func(share float64) float64 {
		i := max(0, int(math.Ceil(share*float64(len(times))))-1) // the nearest rank
		return milliseconds(times[i])
	}
	return Quantiles{P50: at(0.5), P99: at(0.99), Max: at(1)}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
