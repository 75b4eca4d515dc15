package profile

import (
	"bytes"
	"encoding/json"
	"sync"
)

// memo keeps what the params of a view decode to, so that a state that is looked
// at many times is decoded once, and so is a param that has not changed between two
// states. It is safe for concurrent use; what it returns is shared and must not be
// changed.
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
	last, known := m.known[memoKey[T]{param}]
	if !known || !bytes.Equal(last.raw, raw) || len(raw) == 0 {
		return v, false
	}
	m.known[memoKey[T]{param}] = decoded{raw: raw, value: last.value} // the text of before may be part of an old answer
	return last.value.(T), true
}

// last returns what param was decoded to last, whatever its value was then.
func last[T any](m *memo, param string) (v T) {
	if m == nil {
		return v
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if last, known := m.known[memoKey[T]{param}]; known {
		return last.value.(T)
	}
	return v
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
