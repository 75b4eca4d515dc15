package endpoint

import (
	"net/http"

	"gitlab.com/rackn/provision/v4/models"
)

// There are no plugins, which DRP's command line asks for: the lists of what they
// would offer are empty.

// pluginRoutes are the routes of actions, which plugins add to objects.
func (s *Server) pluginRoutes() []route {
	all := []route{
		{"GET", "/plugin_providers", noPlugins},
		{"GET", "/plugin_providers/{key}", noPluginProvider},
		{"GET", "/system/actions", noPlugins},
	}
	for _, ot := range s.types() {
		if ot.prefix == "jobs" || ot.prefix == "params" { // whose keys or routes leave no room for it
			continue
		}
		actions := "/" + ot.prefix + "/{key}/actions"
		all = append(all,
			route{"GET", actions, noPlugins},
			route{"GET", actions + "/{action}", noAction(ot.prefix)},
			route{"POST", actions + "/{action}", noAction(ot.prefix)},
		)
	}
	return all
}

func noPlugins(w http.ResponseWriter, _ *http.Request, _ *principal) error {
	return writeJSON(w, http.StatusOK, []string{})
}

func noPluginProvider(_ http.ResponseWriter, r *http.Request, _ *principal) error {
	return notFound("plugin_providers", r.PathValue("key"))
}

// noAction refuses an action of objects.
func noAction(prefix string) handler {
	return func(_ http.ResponseWriter, r *http.Request, p *principal) error {
		key := r.PathValue("key")
		if r.Method == http.MethodPost {
			if err := authorize(p, prefix, "action:"+r.PathValue("action"), key); err != nil {
				return err
			}
		}
		return &models.Error{
			Model: prefix, Key: key, Code: http.StatusNotFound,
			Messages: []string{"No action " + r.PathValue("action") + ": this endpoint has no plugins"},
		}
	}
}
