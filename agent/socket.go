package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"muster/coordinator"
	"muster/election"
	"muster/profile"
)

// socketGroup may use the local socket beside root and the agent's own user.
const socketGroup = "muster"

// The bodies of the local socket: JSON over HTTP, for Client alone.
type (
	reportBody struct {
		Said  string `json:"said"`
		Round int    `json:"round"`
	}
	stepBody struct {
		Name  string        `json:"name"`
		Round profile.Round `json:"round"`
		Exit  int           `json:"exit"`
		Note  StepNote      `json:"note"`
		Again bool          `json:"again"`
		Retry bool          `json:"retry,omitempty"`
	}
	resignBody struct {
		Role string `json:"role"`
	}
	getBody struct {
		Key    string `json:"key"`
		Decode bool   `json:"decode"`
	}
	// waitLine is one line of the answer to a wait; the last has Done.
	waitLine struct {
		Outcome coordinator.Outcome `json:"outcome,omitzero"`
		Said    string              `json:"said,omitempty"` // of a passage
		Passed  coordinator.Passed  `json:"passed,omitzero"`
		Turn    Turn                `json:"turn,omitzero"`
		Done    bool                `json:"done"`
		Fault   *fault              `json:"fault,omitempty"`
	}
)

// listen opens the local socket, 0660 and of group muster where there is one.
// A socket that nobody answers on is left over, and replaced.
func (a *Agent) listen() (net.Listener, error) {
	if a.cfg.Socket == "" {
		return nil, nil
	}
	if most := len(unix.RawSockaddrUnix{}.Path) - 1; len(a.cfg.Socket) > most {
		return nil, fmt.Errorf("%w: socket: expected a path of at most %d bytes, found %d: %s", ErrUsage, most, len(a.cfg.Socket), a.cfg.Socket)
	}
	if err := unanswered(a.cfg.Socket); err != nil {
		return nil, err
	}
	switch found, err := os.Lstat(a.cfg.Socket); {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("%w: socket: %w", ErrUsage, err)
	case found.Mode().Type() != os.ModeSocket:
		return nil, fmt.Errorf("%w: socket: %s is there and is no socket; name another path", ErrUsage, a.cfg.Socket)
	default:
		if err := os.Remove(a.cfg.Socket); err != nil {
			return nil, fmt.Errorf("%w: socket: %w", ErrUsage, err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(a.cfg.Socket), 0o755); err != nil {
		return nil, fmt.Errorf("%w: socket: %w", ErrUsage, err)
	}
	l, err := net.Listen("unix", a.cfg.Socket)
	if err != nil {
		return nil, fmt.Errorf("%w: socket: %w", ErrUsage, err)
	}
	if g, err := user.LookupGroup(socketGroup); err == nil {
		if gid, err := strconv.Atoi(g.Gid); err == nil && gid != os.Getegid() {
			if err := os.Chown(a.cfg.Socket, -1, gid); err != nil {
				a.log.Warn("the socket stays with its owner's group", "err", err)
			}
		}
	}
	if err := os.Chmod(a.cfg.Socket, 0o660); err != nil {
		l.Close()
		return nil, fmt.Errorf("%w: socket: %w", ErrUsage, err)
	}
	return l, nil
}

// unanswered returns ErrLocked if an agent serves the socket.
func unanswered(socket string) error {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return nil
	}
	c.Close()
	return fmt.Errorf("%w: another agent answers on %s; name another socket, or stop that agent", ErrLocked, socket)
}

// serve answers on the local socket until ctx ends.
func (a *Agent) serve(ctx context.Context, l net.Listener) error {
	if l == nil {
		return nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) { answer(w, a.Status(), nil) })
	mux.HandleFunc("GET /v1/profile", func(w http.ResponseWriter, r *http.Request) {
		d, err := a.cfg.Store.Read(r.Context())
		answer(w, d, err)
	})
	mux.HandleFunc("POST /v1/report", func(w http.ResponseWriter, r *http.Request) {
		var b reportBody
		if asked(w, r, &b) {
			round, err := a.Report(r.Context(), b.Said)
			answer(w, reportBody{Said: b.Said, Round: round}, err)
		}
	})
	mux.HandleFunc("POST /v1/arrive", func(w http.ResponseWriter, r *http.Request) {
		var in Arrival
		if asked(w, r, &in) {
			round, err := a.Arrive(r.Context(), in)
			answer(w, round, err)
		}
	})
	mux.HandleFunc("POST /v1/steps/begin", func(w http.ResponseWriter, r *http.Request) {
		var b stepBody
		if asked(w, r, &b) {
			note, again, err := a.BeginStep(r.Context(), b.Name, b.Round, b.Retry)
			answer(w, stepBody{Note: note, Again: again}, err)
		}
	})
	mux.HandleFunc("POST /v1/steps/end", func(w http.ResponseWriter, r *http.Request) {
		var b stepBody
		if asked(w, r, &b) {
			answer(w, b, a.EndStep(r.Context(), b.Name, b.Round, b.Exit))
		}
	})
	mux.HandleFunc("POST /v1/steps/takeback", func(w http.ResponseWriter, r *http.Request) {
		var b stepBody
		if asked(w, r, &b) {
			answer(w, b, a.TakeBackStep(r.Context(), b.Name, b.Note))
		}
	})
	mux.HandleFunc("POST /v1/set", func(w http.ResponseWriter, r *http.Request) {
		var s Setting
		if asked(w, r, &s) {
			sealed, err := a.Set(r.Context(), s)
			answer(w, sealed, err)
		}
	})
	mux.HandleFunc("POST /v1/get", func(w http.ResponseWriter, r *http.Request) {
		var b getBody
		if asked(w, r, &b) {
			raw, err := a.Get(r.Context(), b.Key, b.Decode)
			answer(w, raw, err)
		}
	})
	mux.HandleFunc("POST /v1/preview", func(w http.ResponseWriter, r *http.Request) {
		var in Intent
		if asked(w, r, &in) {
			ops, err := a.Preview(r.Context(), in)
			answer(w, ops, err)
		}
	})
	mux.HandleFunc("POST /v1/resign", func(w http.ResponseWriter, r *http.Request) {
		var b resignBody
		if asked(w, r, &b) {
			t, err := a.Resign(r.Context(), b.Role)
			answer(w, t, err)
		}
	})
	mux.HandleFunc("POST /v1/wait", func(w http.ResponseWriter, r *http.Request) { a.serveWait(ctx, w, r) })
	mux.HandleFunc("POST /v1/pass", func(w http.ResponseWriter, r *http.Request) { a.servePass(ctx, w, r) })
	mux.HandleFunc("POST /v1/roll", func(w http.ResponseWriter, r *http.Request) { a.serveRoll(ctx, w, r) })
	mux.HandleFunc("POST /v1/roll/end", func(w http.ResponseWriter, r *http.Request) {
		var b stepBody
		if asked(w, r, &b) {
			answer(w, b, a.EndRoll(r.Context(), b.Name, b.Round, b.Exit))
		}
	})
	mux.HandleFunc("POST /v1/lead", func(w http.ResponseWriter, r *http.Request) { a.serveLead(ctx, w, r) })
	a.healthRoutes(mux)
	server := &http.Server{
		Handler:           mux,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		err := errors.Join(server.Shutdown(last), server.Close())
		a.streams.Wait()
		stopped <- err
	}()
	err := server.Serve(l)
	if !errors.Is(err, http.ErrServerClosed) {
		err = fmt.Errorf("local socket: %w", err)
		cancel(err)
		return errors.Join(err, <-stopped)
	}
	return errors.Join(context.Cause(ctx), <-stopped)
}

// serveWait streams progress, a line each, and the outcome last. ctx is the
// agent's.
func (a *Agent) serveWait(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	var b Waiting
	if !asked(w, r, &b) {
		return
	}
	send := lines(w)
	outcome, err := a.Wait(r.Context(), b, func(o coordinator.Outcome) { send(waitLine{Outcome: o}) })
	send(waitLine{Outcome: outcome, Done: true, Fault: toFault(whileRunning(ctx, err))})
}

// servePass is serveWait for a passage.
func (a *Agent) servePass(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	var b Passing
	if !asked(w, r, &b) {
		return
	}
	send := lines(w)
	passed, err := a.Pass(r.Context(), b, func(text string) { send(waitLine{Said: text}) })
	send(waitLine{Passed: passed, Done: true, Fault: toFault(whileRunning(ctx, err))})
}

// serveRoll is serveWait for a rolling step.
func (a *Agent) serveRoll(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	var b Rolling
	if !asked(w, r, &b) {
		return
	}
	send := lines(w)
	turn, err := a.Roll(r.Context(), b, func(text string) { send(waitLine{Said: text}) })
	send(waitLine{Turn: turn, Done: true, Fault: toFault(whileRunning(ctx, err))})
}

// lines begins an answer of lines, and returns what sends one.
func lines(w http.ResponseWriter) func(waitLine) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	to, flush := json.NewEncoder(w), http.NewResponseController(w)
	return func(l waitLine) {
		if to.Encode(l) == nil { // a waiter that has gone is noticed by its context
			flush.Flush()
		}
	}
}

// whileRunning returns err, or that the agent, whose context is ctx, has ended.
func whileRunning(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return fmt.Errorf("%w: the agent of this host ended while this command waited; start it and wait again: %w", ErrStopping, cause)
	}
	return err
}

// askedMost bounds what a command asks: a value and what it must have been, with
// every character escaped, fit.
const askedMost = 16 * profile.MostValue

func asked(w http.ResponseWriter, r *http.Request, v any) bool {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, askedMost)).Decode(v); err != nil {
		answer(w, nil, fmt.Errorf("%w: %w", ErrUsage, err))
		return false
	}
	return true
}

func answer(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusConflict)
		v = toFault(err)
	}
	json.NewEncoder(w).Encode(v) // the client may have gone: nobody else to tell
}

// Status is what the agent knows of itself, without asking the endpoint.
type Status struct {
	Profile  string   `json:"profile"`
	UUID     string   `json:"uuid"`
	Instance string   `json:"instance"`
	Version  string   `json:"version"`
	Slots    []string `json:"slots"`   // held, as ROLE/NUMBER
	Trouble  string   `json:"trouble"` // why the profile cannot be watched, or ""
	// Roles is how this member stands in each role.
	Roles []election.Standing `json:"roles"`
}

// Status returns what the agent knows of itself.
func (a *Agent) Status() Status {
	state := a.member.State()
	d, _ := a.view.Latest()
	s := Status{Profile: a.cfg.Profile, UUID: state.UUID, Instance: state.Instance, Version: a.cfg.Version, Slots: Held(d, state.UUID), Roles: a.peer.Elector.Standings()}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.trouble != nil {
		s.Trouble = a.trouble.Error()
	}
	return s
}

// Held returns the slots that a machine holds in d, as ROLE/NUMBER.
func Held(d *profile.Document, uuid string) []string {
	held := []string{}
	slots, err := d.Slots()
	if err != nil {
		return held
	}
	for _, role := range sortedKeys(slots) {
		for _, n := range profile.SlotNumbers(slots[role]) {
			if slots[role][n].Holder == uuid {
				held = append(held, role+"/"+n)
			}
		}
	}
	return held
}
