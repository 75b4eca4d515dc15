package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"muster/endpoint"
)

// Served is an embedded endpoint in a process of its own, so that what it costs
// can be told from what its clients cost.
type Served struct {
	URL     string
	CAFile  string // vouches for it
	Control endpoint.Control
	PID     int

	procs *Processes
}

// ServeEndpoint starts program, which is a muster-lab, as an endpoint that keeps
// everything in memory, with its files in dir. compat is as in endpoint.Config.
// lost is told when it ends, which it does at Stop, or with this process.
func ServeEndpoint(ctx context.Context, program, dir, compat string, lost func(error)) (*Served, error) {
	s := &Served{CAFile: filepath.Join(dir, "ca.pem"), Control: endpoint.Control{Path: filepath.Join(dir, "control")}, procs: NewProcesses(stopWait)}
	proc, err := s.procs.Start(dir, "endpoint", CleanEnv(), program, "endpoint", "serve", "--listen", "127.0.0.1:0",
		"--compat", compat, "--ca-file", s.CAFile, "--control", s.Control.Path, "--log-level", "warn")
	if err != nil {
		return nil, err
	}
	s.PID = proc.cmd.Process.Pid
	s.procs.watchers.Go(func() {
		<-proc.ended
		lost(proc.Fault())
	})
	var gone error
	err = await(ctx, func() bool {
		select {
		case <-proc.ended:
			gone = proc.Fault()
		default:
			s.URL = announced(proc.log)
		}
		return s.URL != "" || gone != nil
	})
	if err = errors.Join(err, gone); err != nil {
		s.Stop()
		return nil, fmt.Errorf("start an endpoint: %w", err)
	}
	return s, nil
}

// announced is the URL that the endpoint has printed with the other lines of its
// welcome, or "".
func announced(log string) string {
	raw, _ := os.ReadFile(log)
	text := string(raw)
	if !strings.Contains(text, "\nfingerprint ") {
		return ""
	}
	_, rest, _ := strings.Cut("\n"+text, "\nendpoint ")
	url, _, _ := strings.Cut(strings.TrimLeft(rest, " "), "\n")
	return url
}

// Stop ends the process, and returns when it has ended.
func (s *Served) Stop() { s.procs.Stop() }
