package endpoint

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"gitlab.com/rackn/provision/v4/api"

	"muster/endpoint/filter"
)

// event is what a websocket client receives: a change of the store, something
// that a client posted, or an answer to a command. It has the fields of
// models.Event.
type event = change

// spec is one registration: which types, actions and keys of events to send.
// With a filter, it must hold for the event as well.
type spec struct {
	typ, action, key nameList
	filter           *filter.Event
}

// nameList is a part of a registration: a comma list, in which \1 means a dot, \2 a
// comma and \3 a star. It is nil for "*", which is everything. It is read once, since
// every event is looked up in it while the store waits.
type nameList map[string]bool

func parseNames(list string) nameList {
	if list == "*" {
		return nil
	}
	l := nameList{}
	for _, name := range strings.Split(list, ",") {
		l[api.UnescapedValue(strings.TrimSpace(name))] = true
	}
	return l
}

func (l nameList) has(name string) bool { return l == nil || l[name] }

// specForm is what clients are told of the form of a registration.
const specForm = "TYPE.ACTION.KEY or TYPE.ACTION.KEY.FILTER"

// parseSpec reads TYPE.ACTION.KEY or TYPE.ACTION.KEY.FILTER. 3.13 has no filters:
// there, the dots after the second one belong to the key.
func parseSpec(text string, compat313 bool) (sp spec, err error) {
	most := 4
	if compat313 {
		most = 3
	}
	parts := strings.SplitN(text, ".", most)
	if len(parts) < 3 {
		return sp, fmt.Errorf("expected %s, found %d parts", specForm, len(parts))
	}
	for _, part := range parts {
		if strings.TrimSpace(part) == "" {
			return sp, fmt.Errorf("expected %s, found an empty part", specForm)
		}
	}
	sp = spec{typ: parseNames(parts[0]), action: parseNames(parts[1]), key: parseNames(parts[2])}
	if len(parts) == 4 {
		wanted, err := filter.ParseEvent(parts[3])
		sp.filter = &wanted
		return sp, err
	}
	return sp, nil
}

// names reports whether the registration is for the type, action and key of an
// event.
func (sp spec) names(e *event) bool {
	return sp.typ.has(e.Type) && sp.action.has(e.Action) && sp.key.has(e.Key)
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

// publish queues an event for every session that is registered for it. It never
// blocks: filters are left to the sessions, and one whose queue is full is dropped.
func (h *hub) publish(e event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var body []byte
	for ss := range h.sessions {
		filters, ok := ss.wants(&e)
		if !ok {
			continue
		}
		if body == nil {
			var err error
			if body, err = json.Marshal(e); err != nil {
				return // objects are JSON already: this cannot happen
			}
		}
		ss.send(message{body, filters})
	}
}
