package coordinator

import (
	"slices"

	"muster/profile"
)

// comers follows who comes and goes while somebody waits, for people: nothing
// is decided by it.
type comers struct {
	lives    map[string]string // expected member → its life when it was first seen, "" before it joined
	renewed  []string
	departed []string
}

// look compares the state d with those before it, and notes in out what
// happened since the first.
func (w *comers) look(d *profile.Document, out *Outcome) {
	expected, err := d.Expected()
	if err != nil {
		return
	}
	marks, err := d.Marks()
	if err != nil {
		return
	}
	if w.lives == nil {
		w.lives = map[string]string{}
	}
	listed := make(map[string]bool, len(expected.Members))
	for _, uuid := range expected.Members {
		listed[uuid] = true
	}
	for _, uuid := range sortedKeys(w.lives) {
		if !listed[uuid] {
			delete(w.lives, uuid)
			w.departed = append(w.departed, uuid)
		}
	}
	for _, uuid := range expected.Members {
		life := marks[uuid].Life
		if was := w.lives[uuid]; was != "" && life != "" && was != life && !slices.Contains(w.renewed, uuid) {
			w.renewed = append(w.renewed, uuid)
		}
		if w.lives[uuid] == "" || life != "" {
			w.lives[uuid] = life
		}
	}
	for _, uuid := range sortedKeys(marks) {
		if marks[uuid].Joined() && !listed[uuid] {
			out.Late = append(out.Late, called(marks, uuid))
		}
	}
	for _, uuid := range w.renewed {
		out.Renewed = append(out.Renewed, called(marks, uuid))
	}
	for _, uuid := range w.departed {
		out.Departed = append(out.Departed, called(marks, uuid))
	}
}
