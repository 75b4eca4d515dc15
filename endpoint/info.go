package endpoint

import (
	"net/http"

	"gitlab.com/rackn/provision/v4/models"
)

// getInfo answers GET /info.
func (s *Server) getInfo(w http.ResponseWriter, _ *http.Request, p *principal) error {
	if !p.can("info", "get", "") {
		return notFound("info", "")
	}
	return writeJSON(w, http.StatusOK, s.info())
}

func (s *Server) info() *models.Info {
	res := &models.Info{Version: s.version()}
	res.Fill()
	return res
}

func (s *Server) version() string {
	if s.store.compat313 {
		return "v3.13.1000-muster"
	}
	return "v4.16.9-muster"
}
