//go:build linux

package soak

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"muster/internal/backoff"
)

// sample is what the process had in use after a collection.
type sample struct {
	at    float64 // seconds since the start
	bytes float64
}

// sampleMemory samples until ctx ends.
func sampleMemory(ctx context.Context, every time.Duration) (list []sample) {
	begun := time.Now()
	for {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		list = append(list, sample{time.Since(begun).Seconds(), float64(m.HeapInuse)})
		if backoff.Sleep(ctx, every) != nil {
			return list
		}
	}
}

// trend is the slope of a line through samples by least squares.
type trend struct {
	n           int
	mean        float64 // bytes
	slope, wide float64 // bytes a second, and the standard error of that
	length      float64 // seconds between the first and the last
}

func trendOf(list []sample) trend {
	t := trend{n: len(list)}
	if t.n < 3 {
		return t
	}
	n := float64(t.n)
	var x, y, xx, xy float64
	for _, s := range list {
		x, y = x+s.at/n, y+s.bytes/n
	}
	for _, s := range list {
		xx, xy = xx+(s.at-x)*(s.at-x), xy+(s.at-x)*(s.bytes-y)
	}
	t.mean, t.slope, t.length = y, xy/xx, list[t.n-1].at-list[0].at
	var rest float64
	for _, s := range list {
		off := s.bytes - y - t.slope*(s.at-x)
		rest += off * off
	}
	t.wide = math.Sqrt(rest / (n - 2) / xx)
	return t
}

// grows reports whether memory clearly grows: by more than the noise explains (four
// standard errors), and by more than a tenth of it within the time that was looked at.
// Less than a minute, or fewer than twenty samples, say nothing.
func (t trend) grows() bool {
	return t.n >= 20 && t.length >= 60 && t.slope > 4*t.wide && t.slope*t.length > t.mean/10
}

func (t trend) String() string {
	return fmt.Sprintf("heap %.1f MB, slope %+.1f ± %.1f kB a minute over %.0f s", t.mean/1e6, t.slope*60/1e3, t.wide*60/1e3, t.length)
}

// descriptors are those of this process, sockets of the host with their paths.
func descriptors() (names []string) {
	sockets, _ := os.ReadFile("/proc/net/unix")
	list, _ := os.ReadDir("/proc/self/fd")
	for _, e := range list {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil {
			continue // that of the list itself
		}
		inode := strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]")
		for line := range strings.Lines(string(sockets)) {
			if f := strings.Fields(line); len(f) > 6 && f[6] == inode {
				to += " " + strings.Join(f[7:], " ")
			}
		}
		names = append(names, e.Name()+" "+to)
	}
	return names
}

func TestMemoryThatGrowsIsToldFromNoise(t *testing.T) {
	for name, c := range map[string]struct {
		seconds, noise, growth float64 // of 100 MB, in MB; growth over the whole time
		want                   bool
	}{
		"flat":            {300, 5, 0, false},
		"a slow leak":     {300, 5, 20, true},
		"less than noise": {300, 60, 12, false},
		"next to nothing": {300, 0.1, 3, false},
		"it shrinks":      {300, 5, -40, false},
		"too short":       {30, 0, 40, false},
	} {
		random := rand.New(rand.NewPCG(1, 2))
		var list []sample
		for i := range 60 {
			share := float64(i) / 59
			list = append(list, sample{share * c.seconds, 1e6 * (100 + c.growth*share + c.noise*(2*random.Float64()-1))})
		}
		if got := trendOf(list); got.grows() != c.want {
			t.Errorf("%s: grows is %t: %v", name, got.grows(), got)
		}
	}
}
