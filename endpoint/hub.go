package endpoint

import (
	"encoding/json"
	"strings"
	"sync"

	"gitlab.com/rackn/provision/v4/api"
)

// event is what a websocket client receives: a change of the store, something
// that a client posted, or an answer to a command. It has the fields of
// models.Event.
type event = change

// spec is one registration: which types, actions and keys of events to send.
// Each part is "*" or a comma list, in which \1 means a dot, \2 a comma and \3
// a star.
type spec struct{ typ, action, key string }

// parseSpec accepts three parts exactly: a fourth would be a filter, which the
// endpoint does not have and does not advertise.
func parseSpec(text string) (spec, bool) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return spec{}, false
	}
	for _, part := range parts {
		if strings.TrimSpace(part) == "" {
			return spec{}, false
		}
	}
	return spec{parts[0], parts[1], parts[2]}, true
}

func (sp spec) matches(e *event) bool {
	return inList(e.Type, sp.typ) && inList(e.Action, sp.action) && inList(e.Key, sp.key)
}

func inList(value, list string) bool {
	return list == "*" || api.ValueInList(value, list)
}

// hub hands events to the websocket sessions that want and may see them.
type hub struct {
	mu       sync.Mutex
	sessions map[*session]struct{}
}

func (h *hub) add(ss *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sessions[ss] = struct{}{}
}

func (h *hub) remove(ss *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, ss)
}

// publish queues an event for every session that wants it. It never blocks: a
// session whose queue is full is dropped.
func (h *hub) publish(e event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var body []byte
	for ss := range h.sessions {
		if !ss.wants(&e) {
			continue
		}
		if body == nil {
			var err error
			if body, err = json.Marshal(e); err != nil {
				return // objects are JSON already: this cannot happen
			}
		}
		ss.send(body)
	}
}
