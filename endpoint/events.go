package endpoint

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/gorilla/websocket"
	"gitlab.com/rackn/provision/v4/models"
)

// openSocket answers GET /ws. It returns when the session has ended, which it
// does at the latest with the server.
func (s *Server) openSocket(w http.ResponseWriter, r *http.Request, p *principal) error {
	upgrader := websocket.Upgrader{
		HandshakeTimeout: s.socketTimes.write,
		Error: func(w http.ResponseWriter, r *http.Request, status int, reason error) {
			writeError(w, r, models.NewError("", status, reason.Error()))
		},
	}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return nil // Upgrade has answered
	}
	ss := s.newSession(conn, p)
	defer s.watch(ss, r)()
	s.hub.add(ss)
	defer s.hub.remove(ss)
	stop := context.AfterFunc(r.Context(), func() { ss.end(websocket.CloseGoingAway, "the server shuts down") })
	defer stop()
	if ss.run() == tooSlow {
		s.log.Warn("websocket dropped", "principal", p.name, "reason", tooSlow)
	}
	return nil
}

// postEvent answers POST /events: it publishes an event of the client's own.
func (s *Server) postEvent(w http.ResponseWriter, r *http.Request, p *principal) error {
	if err := authorize(p, "events", "post", "*"); err != nil {
		return err
	}
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	var e event
	if err := json.Unmarshal(body, &e); err != nil {
		return badRequest("Cannot parse the event: " + misfit(body, &e, err).Error())
	}
	if e.Type == "" || e.Action == "" {
		return badRequest("An event needs Type and Action")
	}
	// Clients take such events for the answers to their commands.
	if e.Type == "websocket" {
		return &models.Error{
			Model: "events", Type: "AUTH", Code: http.StatusForbidden,
			Messages: []string{"Events of type websocket are the endpoint's own"},
		}
	}
	// Others act on events about objects, so only who could make the change
	// may say that it was made.
	if isObject(e.Type) {
		if err := authorize(p, e.Type, e.Action, e.Key); err != nil {
			return err
		}
	}
	e.Time, e.Principal = time.Now(), p.name
	s.hub.publish(e)
	writeHeader(w, http.StatusNoContent)
	return nil
}

// visible says whether who may see the event: who may do what it reports, or has
// the claim event. Events that are not about objects are for everybody.
func visible(e *event, who *principal) bool {
	return !isObject(e.Type) || who.can(e.Type, e.Action, e.Key) || who.can(e.Type, "event", e.Key)
}

func isObject(prefix string) bool { return slices.Contains(objectPrefixes, prefix) }

var objectPrefixes = append(models.AllPrefixes(), "contents")
