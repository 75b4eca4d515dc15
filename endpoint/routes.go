package endpoint

import (
	"net/http"
	"path"
)

// handler answers one request of an authenticated principal. The error that it
// returns is sent to the client in DRP's shape (see writeError).
type handler func(w http.ResponseWriter, r *http.Request, p *principal) error

// route is a pattern of http.ServeMux, below /api/v3, and its handler.
type route struct {
	method, path string
	handle       handler
}

// routes is the whole API, one line a route. GET includes HEAD.
func (s *Server) routes() []route {
	return []route{
		{"GET", "/info", s.getInfo},
	}
}

// newMux builds the handler of all routes; every other path is 404 "No route".
func (s *Server) newMux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, rt := range s.routes() {
		mux.HandleFunc(rt.method+" /api/v3"+rt.path, func(w http.ResponseWriter, r *http.Request) {
			p, err := s.authenticate(r)
			if err == nil {
				err = rt.handle(w, r, p)
			}
			if err != nil {
				writeError(w, r, err)
			}
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { writeError(w, r, noRoute()) })
	return mux
}

// ServeHTTP counts a request and answers it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.active.Add(1)
	defer s.active.Done()
	if p := r.URL.EscapedPath(); path.Clean(p) != p {
		writeError(w, r, noRoute()) // the mux would redirect in HTML
		return
	}
	s.mux.ServeHTTP(w, r)
}
