package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// usage is what a process has taken. On hosts without /proc it is zero.
type usage struct {
	cpu  time.Duration // user and system
	rss  int64         // bytes now
	anon int64         // bytes now, but for those of files
	peak int64         // bytes at most
}

// tick is the unit of times in /proc/PID/stat: USER_HZ is 100 on every Linux.
const tick = 10 * time.Millisecond

// usageOf reads what a process has taken; "self" is this one.
func usageOf(pid string) (u usage) {
	stat, _ := os.ReadFile("/proc/" + pid + "/stat")
	// The name of the program, in parentheses, may hold blanks.
	if _, rest, ok := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " "); ok {
		if f := strings.Fields(rest); len(f) > 12 {
			user, _ := strconv.ParseInt(f[11], 10, 64)
			system, _ := strconv.ParseInt(f[12], 10, 64)
			u.cpu = time.Duration(user+system) * tick
		}
	}
	status, _ := os.ReadFile("/proc/" + pid + "/status")
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		var kb int64
		fmt.Sscan(value, &kb)
		switch name {
		case "VmRSS":
			u.rss = kb << 10
		case "RssAnon":
			u.anon = kb << 10
		case "VmHWM":
			u.peak = kb << 10
		}
	}
	return u
}

// load is how busy the host is, "" if it does not tell.
func load() string {
	raw, _ := os.ReadFile("/proc/loadavg")
	f := strings.Fields(string(raw))
	return strings.Join(f[:min(3, len(f))], " ")
}
