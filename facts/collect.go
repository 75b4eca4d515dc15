package facts

import (
	"context"
	"errors"
	"io/fs"
	"time"
)

// sourceTimeout is generous: all sources together take milliseconds on a healthy host.
const sourceTimeout = 5 * time.Second

// Config is what Collect needs to know. The zero value works.
type Config struct {
	// AgentVersion is published as it is.
	AgentVersion string

	// Previous is an earlier sheet of this host, or nil. The kernel computes the boot time from the wall clock,
	// so it moves when the clock is stepped. Within one boot (the same boot id) a reading within a minute of
	// the previous one is the same boot time, and the previous one is kept. A larger difference means that the
	// clock had been wrong; then the new reading is taken.
	Previous *Sheet

	// Timeout limits each source; all of them run at once. 0 means 5 s.
	Timeout time.Duration
}

// source reads one part of the sheet. Its result is a function that fills the part in, so that a source that
// answers too late has nothing to write to.
type source struct {
	name string
	read func(context.Context) (func(*Sheet), error)
}

func sources() []source {
	return []source{
		{"identity", readIdentity},
		{"os", readOS},
		{"boot", readBoot},
		{"virtualization", readVirtualization},
		{"cpu", readCPU},
		{"memory", readMemory},
		{"disks", readDisks},
		{"filesystems", readFilesystems},
		{"interfaces", readInterfaces},
	}
}

// Collect reads the host. Whatever could not be read is named in Sheet.Errors; the error is the cause of ctx and
// nothing else. A source that hangs in the kernel past its limit (a statfs of a dead disk) leaves its goroutine
// behind until the kernel answers, because nothing can interrupt it. Collect is safe for concurrent use.
func Collect(ctx context.Context, cfg Config) (Sheet, error) {
	return collect(ctx, cfg, sources())
}

func collect(ctx context.Context, cfg Config, sources []source) (Sheet, error) {
	limit := cfg.Timeout
	if limit <= 0 {
		limit = sourceTimeout
	}
	reading, cancel := context.WithTimeout(ctx, limit)
	defer cancel()

	type result struct {
		fill func(*Sheet)
		err  error
	}
	results := make([]chan result, len(sources))
	for i, s := range sources {
		results[i] = make(chan result, 1)
		go func() {
			fill, err := s.read(reading)
			results[i] <- result{fill, err}
		}()
	}

	sheet := Sheet{Schema: Schema, Agent: text(cfg.AgentVersion), Errors: map[string]string{}}
	for i, s := range sources {
		var r result
		select {
		case r = <-results[i]:
		case <-reading.Done():
			select {
			case r = <-results[i]: // it was in time, another one was not
			default:
				r.err = errors.New("timed out")
			}
		}
		if r.fill != nil {
			r.fill(&sheet)
		}
		if r.err != nil {
			sheet.Errors[s.name] = brief(r.err)
		}
	}
	if ctx.Err() != nil {
		return Sheet{}, context.Cause(ctx)
	}
	keepBootTime(&sheet, cfg.Previous)
	return sheet, nil
}

func keepBootTime(sheet, previous *Sheet) {
	if previous == nil || previous.Boot.Time == 0 || previous.Boot.ID != sheet.Boot.ID {
		return
	}
	if d := sheet.Boot.Time - previous.Boot.Time; -60 <= d && d <= 60 {
		sheet.Boot.Time = previous.Boot.Time
	}
}

// brief makes an error short enough for the sheet and leaves out the folder of a file, which can tell how the
// host is set up.
func brief(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return text(e.Op + ": " + e.Err.Error())
	}
	return text(err.Error())
}
