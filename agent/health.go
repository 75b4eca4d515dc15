package agent

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"time"

	"muster/internal/metrics"
)

// readyFor is how old the last reading of the profile may be for the agent to
// be ready: longer than a long poll, after which it looks whatever is said.
const readyFor = 3 * time.Minute

// healthRoutes are for people, scripts, load balancers and Prometheus.
func (a *Agent) healthRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, r *http.Request) { told(w, "ok", a.live()) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { told(w, "ok", a.ready()) })
	mux.HandleFunc("GET /leader/{role}", func(w http.ResponseWriter, r *http.Request) {
		t, _, err := a.peer.Elector.Leads(r.PathValue("role"))
		told(w, fmt.Sprintf("slot %s, epoch %d", t.Slot, t.Epoch), err)
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		metrics.Write(w, a.cfg.Metrics, a.gauges()) // the client may have gone: nobody else to tell
	})
}

// told answers with a line of text: 200, or 503 with the reason.
func told(w http.ResponseWriter, good string, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		good = err.Error()
	}
	fmt.Fprintln(w, good)
}

// live returns which loops are stuck, or nil.
func (a *Agent) live() error {
	if late := a.board.Late(); len(late) > 0 {
		return fmt.Errorf("stuck: %s", strings.Join(late, "; "))
	}
	return nil
}

// ready returns why the agent knows too little of the profile, or nil.
func (a *Agent) ready() error {
	age := a.health.age()
	if age <= readyFor {
		return nil
	}
	err := fmt.Errorf("the profile was last read %s ago, which may be %s at most", age.Round(time.Second), readyFor)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.trouble != nil {
		err = fmt.Errorf("%w: %w", err, a.trouble)
	}
	return err
}

// gauges are the metrics that are looked up when somebody asks.
func (a *Agent) gauges() *metrics.Set {
	s := &metrics.Set{}
	s.Put(metrics.BuildInfo, 1, a.cfg.Version, runtime.Version())
	s.Put(metrics.StartTime, float64(a.joined.Unix()))
	a.mu.Lock()
	trouble := a.trouble != nil
	a.mu.Unlock()
	s.Put(metrics.WatchTrouble, oneIf(trouble))
	s.Put(metrics.LastReadAge, a.health.age().Seconds())
	s.Put(metrics.LateLoops, float64(len(a.board.Late())))
	d, _ := a.view.Latest()
	if round, err := d.Round(); err == nil {
		s.Put(metrics.Round, float64(round.N))
	}
	for _, standing := range a.peer.Elector.Standings() {
		if standing.Role == "" {
			continue // the slots cannot be read
		}
		t, left, err := a.peer.Elector.Leads(standing.Role)
		s.Put(metrics.SlotLed, oneIf(err == nil), standing.Role)
		if err == nil && t.TTL != "" {
			s.Put(metrics.LeaseSecondsLeft, left.Seconds(), standing.Role)
		}
	}
	s.Put(metrics.Waits, float64(a.health.waits.Load()))
	if left, known := a.renewal.left(); known {
		s.Put(metrics.TokenSecondsLeft, left.Seconds(), "machine")
	}
	return s
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// oneLine is the text of an error for the service manager.
func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}

var errNoAnswer = errors.New("the socket does not answer")
