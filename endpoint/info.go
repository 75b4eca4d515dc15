package endpoint

import (
	"net"
	"net/http"
	"slices"

	"gitlab.com/rackn/provision/v4/models"
)

// features are what this endpoint has of the features that DRP lists in /info.
var features = []string{
	"api-v3", "sane-exit-codes", "workflows", "roles", "secure-params", "slim-objects", "partial-objects",
	"sprig", "regex-string-filters",
}

// getInfo answers GET /info.
func (s *Server) getInfo(w http.ResponseWriter, r *http.Request, p *principal) error {
	if !p.can("info", "get", "") {
		return notFound("info", "")
	}
	return writeJSON(w, http.StatusOK, s.info())
}

// info describes this server. It uses the store's lock.
func (s *Server) info() *models.Info {
	addr := s.listener.Addr().(*net.TCPAddr)
	res := &models.Info{
		Version: "v4.16.9-muster", Id: "muster", LocalId: "muster", HaId: "muster",
		Address: addr.IP, ApiPort: addr.Port, Features: slices.Clone(features), HaIsActive: true, HaStatus: "Up",
	}
	if s.store.compat313 {
		res.Version = "v3.13.1000-muster"
	} else {
		res.Features = append(res.Features, "websocket-changed-filter")
	}
	_ = s.store.view(func(t *tx) error {
		for _, prefix := range []string{"machines", "profiles", "jobs"} {
			res.Stats = append(res.Stats, models.Stat{Name: prefix + ".count", Count: len(t.records(prefix))})
		}
		return nil
	})
	res.Fill()
	return res
}
