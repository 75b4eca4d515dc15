package profile

import (
	"encoding/json"
	"sync"
)

// memo keeps what the params of a view decode to, so that a state that is looked
// at many times is decoded once. A param that has not changed between two states
// is recognized by its bytes being the same in memory. It is safe for concurrent
// use; what it returns is shared and must not be changed.
type memo struct {
	mu    sync.Mutex
	known map[any]decoded // by memoKey
}

// memoKey is one way to read one param.
type memoKey[T any] struct{ param string }

type decoded struct {
	raw   json.RawMessage
	value any
}

func newMemo() *memo { return &memo{known: map[any]decoded{}} }

// recall returns what raw, the value of param, was decoded to before.
func recall[T any](m *memo, param string, raw json.RawMessage) (v T, ok bool) {
	if m == nil {
		return v, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if last, known := m.known[memoKey[T]{param}]; known && same(last.raw, raw) {
		return last.value.(T), true
	}
	return v, false
}

// keep notes what raw was decoded to.
func keep[T any](m *memo, param string, raw json.RawMessage, v T) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known[memoKey[T]{param}] = decoded{raw: raw, value: v}
}

// same reports whether two texts are one in memory. Nobody changes it there.
func same(a, b json.RawMessage) bool {
	return len(a) == len(b) && len(a) > 0 && &a[0] == &b[0]
}
