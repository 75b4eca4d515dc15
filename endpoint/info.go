package endpoint

import (
	"net"
	"net/http"

	"gitlab.com/rackn/provision/v4/models"
)

// features returns what this endpoint has of the features that DRP lists in /info.
func (s *store) features() []string {
	all := []string{
		"api-v3", "sane-exit-codes", "job-exit-states", "fsm-runner", "workflows", "default-workflow", "roles", "secure-params",
		"slim-objects", "partial-objects", "sprig", "regex-string-filters", "http-range-header",
	}
	if !s.compat313 {
		all = append(all, "websocket-changed-filter", "auto-secure-params", "secure-params-in-content-packs")
	}
	return all
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
		Address: addr.IP, ApiPort: addr.Port, SecureFilePort: addr.Port, Features: s.store.features(), HaActiveId: "muster", HaIsActive: true, HaStatus: "Up",
	}
	if s.store.compat313 {
		res.Version = "v3.13.1000-muster"
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
