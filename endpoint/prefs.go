package endpoint

import (
	"net/http"
	"slices"

	"gitlab.com/rackn/provision/v4/models"
)

// preferences are how this endpoint does what DRP lets one choose. They cannot be
// changed.
var preferences = map[string]string{
	"defaultBootEnv": "local", "defaultStage": "none", "defaultWorkflow": "", "unknownBootEnv": "ignore",
	"knownTokenTimeout": "3600", "unknownTokenTimeout": "600",
}

// getPrefs answers GET /prefs.
func (s *Server) getPrefs(w http.ResponseWriter, _ *http.Request, p *principal) error {
	shown := map[string]string{}
	for name, value := range preferences {
		if p.can("preferences", "list", name) {
			shown[name] = value
		}
	}
	return writeJSON(w, http.StatusOK, shown)
}

// postPrefs answers POST /prefs.
func (s *Server) postPrefs(_ http.ResponseWriter, _ *http.Request, p *principal) error {
	if err := authorize(p, "preferences", "post", "*"); err != nil {
		return err
	}
	return &models.Error{
		Model: "preferences", Type: "ValidationError", Code: http.StatusUnprocessableEntity,
		Messages: []string{"The preferences of this endpoint are fixed"},
	}
}

// getActivePools answers GET /pools-active with the names of the pools that have
// machines.
func (s *Server) getActivePools(w http.ResponseWriter, _ *http.Request, p *principal) error {
	names := []string{}
	err := s.store.view(func(t *tx) error {
		for _, rec := range t.records("machines") {
			name := rec.head.(*models.Machine).Pool
			if p.can("pools", "list", name) && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(names)
	return writeJSON(w, http.StatusOK, names)
}
