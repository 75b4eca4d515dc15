// Command performance runs the benches of muster-lab that the goals speak of, and
// writes docs/performance.md: `make bench` calls it. What is said about goals that
// are missed is kept by hand, in performance.tmpl.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// report is all that the document tells.
type report struct {
	plan            plan
	Runs, LargeRuns int
	Version         string // of what was measured
	Host, Go        string
	Size            int64 // of the program, in bytes
	Found           results
	Micro           string
}

func main() {
	p := usual
	bin := flag.String("bin", "bin", "directory of muster-lab, and of muster as it is shipped")
	out := flag.String("out", "docs/performance.md", "what to write")
	keep := flag.String("keep", "bin/performance.json", "where to keep what was measured")
	again := flag.Bool("again", false, "measure nothing: write the document again, from what was kept")
	version := flag.String("version", "unknown", "of what is measured")
	flag.IntVar(&p.runs, "runs", 3, "runs of which the medians are told")
	flag.IntVar(&p.largeRuns, "large-runs", 3, "the same with the most members")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if !*again {
		err = measure(ctx, p, *bin, *version, *keep)
	}
	if err == nil {
		err = write(p, *keep, *out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "performance:", err)
		os.Exit(1)
	}
}

// measure runs the plan and keeps what it found. Nothing is kept if a run fails.
func measure(ctx context.Context, p plan, bin, version, keep string) error {
	begun := time.Now()
	p.say = func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "%6.0f s  %s\n", time.Since(begun).Seconds(), fmt.Sprintf(format, args...))
	}
	p.program = filepath.Join(bin, "muster-lab")
	muster, err := os.Stat(filepath.Join(bin, "muster"))
	if err != nil {
		return err
	}
	r := report{Runs: p.runs, LargeRuns: p.largeRuns, Version: version, Host: thisHost(), Go: runtime.Version(), Size: muster.Size()}
	if r.Found, err = p.run(ctx); err != nil {
		return err
	}
	if r.Micro, err = p.micro(ctx); err != nil {
		return err
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	p.say("all is measured")
	return os.WriteFile(keep, raw, 0o644)
}

// write writes the document from what was kept. Its error names the goals whose
// reason is missing; the document is written all the same.
func write(p plan, keep, out string) error {
	raw, err := os.ReadFile(keep)
	if err != nil {
		return err
	}
	r := report{plan: p}
	if err := json.Unmarshal(raw, &r); err != nil {
		return fmt.Errorf("%s: %w", keep, err)
	}
	text, silent, err := render(r)
	if err != nil {
		return err
	}
	if err := os.WriteFile(out, []byte(text), 0o644); err != nil {
		return err
	}
	if silent != nil {
		return fmt.Errorf("%s is written, but goals are missed without a reason: define %s in performance.tmpl, and run again with -again", out, strings.Join(silent, ", "))
	}
	return nil
}
