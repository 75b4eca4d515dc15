package endpoint

// work is what makes machines run tasks: the state machine of machines and
// jobs, the logs of jobs, and the websockets on which runners wait.
type work struct {
	hub  *hub
	life *lifecycle
	logs jobLogs
}

func newWork(st *store, logs jobLogs) *work {
	w := &work{
		hub:  &hub{sessions: map[*session]struct{}{}},
		life: newLifecycle(),
		logs: logs,
	}
	st.beforePut = w.life.beforePut
	st.subscribe(w.hub.publish)
	if !st.compat313 {
		st.subscribe(w.hub.publishRoles)
	}
	st.subscribe(func(c change) {
		if c.Type == "jobs" && c.Action == "delete" {
			logs.Forget(c.Key)
		}
	})
	return w
}

// workRoutes are the routes of jobs and events; jobs are otherwise ordinary
// objects.
func (s *Server) workRoutes() []route {
	all := []route{
		{"GET", "/ws", s.openSocket},
		{"POST", "/events", s.postEvent},
		{"POST", "/jobs", s.postJob},
		{"GET", "/jobs/{key}/actions", s.getJobActions},
		{"GET", "/jobs/{key}/log", s.getJobLog},
		{"PUT", "/jobs/{key}/log", s.putJobLog},
	}
	if s.store.compat313 {
		return all
	}
	all = append(all, route{"GET", "/templates/{key}/render/{machine}", s.renderTemplate})
	return append(all, s.machineVerbs("machines")...)
}
