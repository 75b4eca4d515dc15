package endpoint

import (
	"compress/gzip"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzhttp"
	"gitlab.com/rackn/provision/v4/models"
)

// handler answers one request of an authenticated principal. The error that it
// returns is sent to the client in DRP's shape (see writeError).
type handler func(w http.ResponseWriter, r *http.Request, p *principal) error

// route is a pattern of http.ServeMux, below /api/v3, and its handler.
type route struct {
	method, path string
	handle       handler
}

// routes is everything but jobs, events and files, one line a route. GET includes HEAD.
func (s *Server) routes() []route {
	all := []route{
		{"GET", "/info", s.getInfo},
		{"GET", "/objects", s.getObjects},
		{"GET", "/contents", s.listContents},
		{"POST", "/contents", s.putContent},
		{"GET", "/contents/{key}", s.getObject("contents")},
		{"PUT", "/contents/{key}", s.putContent},
		{"DELETE", "/contents/{key}", s.deleteContent},
		{"GET", "/indexes", s.getIndexes},
		{"GET", "/indexes/{prefix}", s.getTypeIndexes},
		{"GET", "/indexes/{prefix}/{name...}", s.getIndex},
		{"GET", "/meta/{prefix}/{key...}", s.getMeta},
		{"PATCH", "/meta/{prefix}/{key...}", s.patchMeta},
		{"GET", "/prefs", s.getPrefs},
		{"POST", "/prefs", s.postPrefs},
		{"GET", "/pools-active", s.getActivePools},
		{"GET", "/interfaces", s.getInterfaces},
		{"GET", "/interfaces/{key}", s.getInterface},
		{"GET", "/users/{key}/token", s.getUserToken},
		{"PUT", "/users/{key}/password", s.putPassword},
	}
	if !s.store.compat313 {
		all = append(all, route{"GET", "/machines/{key}/token", s.getMachineToken})
	}
	for _, ot := range s.types() {
		prefix := ot.prefix
		if name, ok := machineRoles[prefix]; ok {
			all = append(all, role{s, prefix, name}.routes()...)
			continue
		}
		one := "/" + prefix + "/{key}"
		if prefix == "params" {
			one = "/params/{key...}" // names of params have slashes
		}
		all = append(all,
			route{"GET", "/" + prefix, s.listObjects(prefix)},
			route{"GET", one, s.getObject(prefix)},
			route{"PUT", one, s.putObject(prefix)},
			route{"PATCH", one, s.patchObject(prefix)},
			route{"DELETE", one, s.deleteObject(prefix)},
		)
		switch {
		case prefix == "jobs": // which are made by running a machine's tasks
		case ot.inert != "":
			all = append(all, route{"POST", "/" + prefix, refuseObject(ot)})
		default:
			all = append(all, route{"POST", "/" + prefix, s.postObject(prefix)})
		}
		if hasParams(prefix) {
			all = append(all, s.paramRoutes(prefix)...)
		}
	}
	return all
}

func (s *Server) paramRoutes(prefix string) []route {
	params := "/" + prefix + "/{key}/params"
	return []route{
		{"GET", params, s.getParams(prefix)},
		{"POST", params, s.postParams(prefix)},
		{"PATCH", params, s.patchParams(prefix)},
		{"GET", params + "/{param...}", s.getParam(prefix)},
		{"POST", params + "/{param...}", s.postParam(prefix)},
		{"DELETE", params + "/{param...}", s.deleteParam(prefix)},
		{"GET", "/" + prefix + "/{key}/pubkey", s.getPubkey(prefix)},
	}
}

func (s *Server) allRoutes() []route {
	return slices.Concat(s.routes(), s.workRoutes(), s.pluginRoutes(), s.blobRoutes())
}

// newHandler builds the handler of all routes; every other path is 404 "No route".
// As DRP does, it compresses JSON for clients that accept that.
func (s *Server) newHandler() (http.Handler, error) {
	compress, err := gzhttp.NewWrapper(gzhttp.ContentTypes([]string{"application/json"}), gzhttp.CompressionLevel(gzip.BestSpeed))
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	for _, rt := range s.allRoutes() {
		mux.HandleFunc(rt.method+" /api/v3"+rt.path, func(w http.ResponseWriter, r *http.Request) {
			p, err := s.authenticate(r)
			if err == nil {
				err = rt.handle(w, r, p)
			}
			if err != nil {
				s.refuse(w, r, err)
			}
		})
	}
	for _, kind := range []string{filesDir, isosDir} {
		mux.HandleFunc("GET /"+kind+"/{path...}", s.getStatic(kind))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { writeError(w, r, noRoute()) })
	return compress(mux), nil
}

// refuse sends and logs an error. The log never says more than the client sees.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if _, ok := errors.AsType[*models.Error](err); ok {
		s.log.Debug("refused", "method", r.Method, "path", r.URL.Path, "err", err)
	} else {
		s.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	writeError(w, r, err)
}

// trace logs a request that was answered: its route and the names of its options,
// but never their values, which can be secret.
func (s *Server) trace(r *http.Request, status int) {
	if !s.log.IsTrace() {
		return
	}
	_, route, _ := strings.Cut(r.Pattern, " /api/v3")
	options := slices.Sorted(maps.Keys(r.URL.Query()))
	s.log.Trace("request", "method", r.Method, "route", route, "options", options, "status", status)
}

// ServeHTTP counts a request and answers it. A body has to arrive in time, also
// one that nobody reads.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.begin() {
		writeError(w, r, shuttingDown())
		return
	}
	defer s.active.Done()
	seen := &observer{ResponseWriter: w}
	defer func() {
		s.counters.request(r, seen.status)
		s.trace(r, seen.status)
	}()
	defer s.confess(seen, r)
	if r.ContentLength != 0 {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.times.body))
	}
	// The mux would redirect in HTML.
	if p := r.URL.EscapedPath(); path.Clean(p) != p || !strings.HasPrefix(p, "/") {
		writeError(seen, r, noRoute())
		return
	}
	if list := s.faults.all(); list != nil {
		s.suffer(seen, r, list, s.handler)
		return
	}
	s.handler.ServeHTTP(seen, r)
}

// confess answers a request whose handler panicked. What it panicked with is not
// logged: it might be a value of the client.
func (s *Server) confess(w *observer, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler || w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	s.log.Error("panic", "method", r.Method, "path", r.URL.Path, "type", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
	writeError(w, r, errors.New("panic"))
}
