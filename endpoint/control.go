package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/go-hclog"
	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint/disk"
)

// The bodies of the control socket: JSON over HTTP, for Control alone. Durations
// are written as Go does, such as 1m30s.
type (
	faultBody struct {
		Fault
		Delay string `json:"delay,omitempty"` // in place of Fault's
	}
	expireBody struct {
		Principal string `json:"principal"`
	}
	restartBody struct {
		Down string `json:"down"`
	}
	tokenBody struct {
		Profile string `json:"profile,omitempty"`
		Machine string `json:"machine,omitempty"`
		TTL     string `json:"ttl,omitempty"`
		Token   string `json:"token,omitempty"`
	}
)

// control serves the control socket.
type control struct {
	path   string
	socket *net.UnixListener
	file   os.FileInfo // of the socket
	http   *http.Server
	served chan error
}

// openControl opens the control socket, if there is to be one.
func (s *Server) openControl(path string) (err error) {
	if path == "" {
		return nil
	}
	if path, err = filepath.Abs(path); err != nil {
		return fmt.Errorf("endpoint: control socket: %w", err)
	}
	c := &control{path: path, served: make(chan error, 1)}
	if c.socket, c.file, err = disk.Listen(path); err != nil {
		return fmt.Errorf("endpoint: control socket: %w", err)
	}
	c.http = &http.Server{
		Handler: s.controlMux(), ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: log.New(s.log.StandardWriter(&hclog.StandardLoggerOptions{}), "", 0),
	}
	s.control = c
	return nil
}

// start answers on the socket until stop is called.
func (c *control) start() {
	if c != nil {
		go func() { c.served <- c.http.Serve(c.socket) }()
	}
}

// stop ends the requests on the socket, and removes it.
func (c *control) stop() error {
	if c == nil {
		return nil
	}
	grace, done := context.WithTimeout(context.Background(), 3*time.Second)
	defer done()
	err := c.http.Shutdown(grace)
	if err != nil {
		err = c.http.Close()
	}
	<-c.served
	return errors.Join(err, c.remove())
}

// close removes a socket on which nothing was answered yet.
func (c *control) close() error {
	if c == nil {
		return nil
	}
	return errors.Join(c.socket.Close(), c.remove())
}

// remove removes the socket, unless it is another's by now.
func (c *control) remove() error {
	if found, err := os.Lstat(c.path); err != nil || !os.SameFile(found, c.file) {
		return nil
	}
	return os.Remove(c.path)
}

func (s *Server) controlMux() *http.ServeMux {
	mux := http.NewServeMux()
	handle := func(pattern string, fn func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			res, err := fn(r)
			if err != nil {
				writeError(w, r, asModelError(err))
				return
			}
			_ = writeJSON(w, http.StatusOK, res)
		})
	}
	handle("GET /v1/faults", func(*http.Request) (any, error) {
		list := []faultBody{}
		for _, f := range s.Faults() {
			list = append(list, wireFault(f))
		}
		return list, nil
	})
	handle("POST /v1/faults", func(r *http.Request) (any, error) {
		var b faultBody
		if err := readControl(r, &b); err != nil {
			return nil, err
		}
		f := b.Fault
		var err error
		if f.Delay, err = readDuration("delay", b.Delay); err != nil {
			return nil, err
		}
		f.ID, err = s.Inject(f)
		return wireFault(f), err
	})
	handle("DELETE /v1/faults", func(*http.Request) (any, error) {
		s.ClearAll()
		return struct{}{}, nil
	})
	handle("DELETE /v1/faults/{id}", func(r *http.Request) (any, error) {
		id, err := strconv.Atoi(r.PathValue("id"))
		if err != nil {
			return nil, fmt.Errorf("%w: id: expected a number, found %q", ErrFault, r.PathValue("id"))
		}
		return struct{}{}, s.Clear(id)
	})
	handle("POST /v1/known", func(r *http.Request) (any, error) {
		var b expireBody
		if err := readControl(r, &b); err != nil {
			return nil, err
		}
		who, err := parsePrincipal(b.Principal)
		if err == nil {
			_, err = who.key(s)
		}
		return struct{}{}, err
	})
	handle("POST /v1/expire", func(r *http.Request) (any, error) {
		var b expireBody
		if err := readControl(r, &b); err != nil {
			return nil, err
		}
		return struct{}{}, s.ExpireTokens(b.Principal)
	})
	handle("POST /v1/restart", func(r *http.Request) (any, error) {
		var b restartBody
		if err := readControl(r, &b); err != nil {
			return nil, err
		}
		down, err := readDuration("down", b.Down)
		if err != nil {
			return nil, err
		}
		return struct{}{}, s.Restart(r.Context(), down)
	})
	handle("GET /v1/counts", func(*http.Request) (any, error) { return s.Counts(), nil })
	handle("POST /v1/tokens", func(r *http.Request) (any, error) {
		var b tokenBody
		if err := readControl(r, &b); err != nil {
			return nil, err
		}
		ttl, err := readDuration("ttl", b.TTL)
		if err != nil {
			return nil, err
		}
		if b.Profile == "" {
			b.Token, err = s.MachineToken(s.machineKey(b.Machine), ttl)
			return tokenBody{Token: b.Token}, err
		}
		if b.Machine, err = s.carrier(b.Machine, b.Profile); err != nil {
			return nil, err
		}
		b.Token, err = s.ProfileToken(b.Machine, b.Profile, ttl)
		return tokenBody{Token: b.Token}, err
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { writeError(w, r, noRoute()) })
	return mux
}

// carrier returns the UUID of the machine that is named by it or by its name, or,
// if none is named, of one that carries the profile. It returns ErrTokenNotAllowed
// if there is none, and says why.
func (s *Server) carrier(machine, profile string) (string, error) {
	if machine != "" {
		return s.machineKey(machine), nil
	}
	err := s.store.view(func(t *tx) error {
		if t.record("profiles", profile) == nil {
			return fmt.Errorf("%w: there is no profile %q", ErrTokenNotAllowed, profile)
		}
		for _, rec := range t.records("machines") {
			if slices.Contains(rec.head.(*models.Machine).Profiles, profile) {
				machine = rec.key
				return nil
			}
		}
		return fmt.Errorf("%w: no machine carries the profile %q", ErrTokenNotAllowed, profile)
	})
	return machine, err
}

func wireFault(f Fault) faultBody {
	b := faultBody{Fault: f}
	if f.Delay != 0 {
		b.Delay = f.Delay.String()
	}
	return b
}

func readDuration(what, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%w: %s: expected a duration such as 1m30s, found %q", ErrFault, what, text)
	}
	return d, nil
}

// readControl reads the body of a request strictly: a mistyped field would
// otherwise make another fault than was meant.
func readControl(r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%w: cannot read the body: %w", ErrFault, err)
	}
	return nil
}

// asModelError gives errors of the control socket the shape of DRP's.
func asModelError(err error) error {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, ErrFault):
		status = http.StatusBadRequest
	case errors.Is(err, ErrTokenNotAllowed):
		status = http.StatusUnprocessableEntity
	case errors.Is(err, errStopped):
		status = http.StatusServiceUnavailable
	}
	return models.NewError("", status, err.Error())
}
