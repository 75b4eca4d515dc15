package endpoint

import (
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"
)

// Shown is a request that a test sent and how it was answered, as the server's
// log tells it.
type Shown struct {
	Method, Route string
	Options       []string
	Status        int
}

// recorder remembers what each test shows, for the table in docs/endpoint.md.
type recorder struct {
	mu    sync.Mutex
	shown map[string][]Shown // by name of the top-level test
}

var allShown = &recorder{shown: map[string][]Shown{}}

// Watch returns a logger that remembers the requests of a test's server.
func Watch(t *testing.T) hclog.Logger {
	name, _, _ := strings.Cut(t.Name(), "/")
	log := hclog.NewInterceptLogger(&hclog.LoggerOptions{Output: io.Discard, Level: hclog.Trace})
	log.RegisterSink(sink(name))
	return log
}

// ShownBy returns what a test has shown so far.
func ShownBy(test string) []Shown {
	allShown.mu.Lock()
	defer allShown.mu.Unlock()
	return slices.Clone(allShown.shown[test])
}

// Types returns the types of objects.
func Types() []string {
	var names []string
	for _, ot := range objectTypes {
		names = append(names, ot.prefix)
	}
	return names
}

// Routes returns all routes as METHOD PATH.
func (s *Server) Routes() []string {
	var all []string
	for _, rt := range s.allRoutes() {
		all = append(all, rt.method+" "+rt.path)
	}
	return all
}

// sink takes the log of one test's server.
type sink string

func (name sink) Accept(_ string, _ hclog.Level, msg string, args ...any) {
	if msg != "request" {
		return
	}
	var got Shown
	for i := 0; i+1 < len(args); i += 2 {
		switch v := args[i+1].(type) {
		case []string:
			got.Options = v
		case int:
			got.Status = v
		case string:
			switch args[i] {
			case "method":
				got.Method = v
			case "route":
				got.Route = v
			}
		}
	}
	allShown.mu.Lock()
	defer allShown.mu.Unlock()
	allShown.shown[string(name)] = append(allShown.shown[string(name)], got)
}
