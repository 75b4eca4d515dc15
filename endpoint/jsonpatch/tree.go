package jsonpatch

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"gitlab.com/rackn/jp"

	"muster/endpoint/rawjson"
)

// Tree is a large JSON object of which small parts are patched, without taking the
// others apart or writing them anew: an object of a megabyte, of which a patch
// changes some hundred bytes, would else cost several times that megabyte. It is
// immutable: a patched tree shares what did not change with the one before.
type Tree struct {
	name  string  // of the member that it is the value of
	label []byte  // the name as JSON, and a colon
	text  []byte  // unless it was taken apart and changed, and is large
	apart bool    // it is an object, and kids are its members
	kids  []*Tree // sorted by name
	size  int     // of label and text, about
}

// treeLevels is how far trees are taken apart: the params of a profile, the members
// of one that is an object, and the members of these. A patch of what is below
// takes apart as much as there is below one of these.
const treeLevels = 2

// NewTree returns the tree of an object, which rawjson.Parse accepts and which
// nobody changes any more.
func NewTree(object []byte) *Tree { return leaf("", nil, object).split() }

func leaf(name string, label, text []byte) *Tree {
	return &Tree{name: name, label: label, text: text, size: len(label) + len(text) + 1}
}

// split returns the tree taken apart, if it is an object.
func (t *Tree) split() *Tree {
	if t.apart || len(t.text) == 0 || t.text[0] != '{' {
		return t
	}
	s := *t
	s.apart = true
	err := rawjson.Each(t.text, func(name string, value []byte) {
		s.kids = append(s.kids, leaf(name, label(name), value))
	})
	if err != nil {
		return t
	}
	slices.SortFunc(s.kids, func(a, b *Tree) int { return strings.Compare(a.name, b.name) })
	return &s
}

func label(name string) []byte { return append(rawjson.Quote(name), ':') }

// Changed calls fn for every member of t that is not the same as in before.
func (t *Tree) Changed(before *Tree, fn func(name string, value func() []byte)) {
	for _, kid := range t.kids {
		if i, there := before.find(kid.name); !there || before.kids[i] != kid {
			fn(kid.name, kid.Text)
		}
	}
}

// Lookup returns the value of a member, nil if there is none. Do not modify it.
func (t *Tree) Lookup(name string) []byte {
	i, there := t.find(name)
	if !there {
		return nil
	}
	return t.kids[i].Text()
}

// Pick returns the object of those members whose names are wanted.
func (t *Tree) Pick(wanted func(name string) bool) []byte {
	picked := &Tree{apart: true}
	for _, kid := range t.kids {
		if wanted(kid.name) {
			picked.kids, picked.size = append(picked.kids, kid), picked.size+kid.size
		}
	}
	return picked.Text()
}

// CheckShape is rawjson.CheckShape of what differs from before, where t is nested so
// deeply.
func (t *Tree) CheckShape(before *Tree, depth int) error {
	for n, kid := range t.kids {
		if n < len(before.kids) && before.kids[n] == kid {
			continue
		}
		i, there := before.find(kid.name)
		var err error
		switch {
		case there && before.kids[i] == kid:
		case there && kid.apart && before.kids[i].split().apart:
			err = kid.CheckShape(before.kids[i].split(), depth+1)
		default:
			err = rawjson.CheckShapeBelow(kid.Text(), depth)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *Tree) find(name string) (int, bool) {
	return slices.BinarySearchFunc(t.kids, name, func(kid *Tree, name string) int { return strings.Compare(kid.name, name) })
}

// Text returns the JSON of the tree. Do not modify it.
func (t *Tree) Text() []byte {
	if t.text != nil {
		return t.text
	}
	return t.append(make([]byte, 0, t.size+2))
}

func (t *Tree) append(out []byte) []byte {
	if t.text != nil {
		return append(out, t.text...)
	}
	out = append(out, '{')
	for i, kid := range t.kids {
		if i > 0 {
			out = append(out, ',')
		}
		out = kid.append(append(out, kid.label...))
	}
	return append(out, '}')
}

// with returns the tree, which is taken apart, with kid as the member of its name.
func (t *Tree) with(kid *Tree) *Tree {
	next := *t
	next.text, next.size = nil, t.size+kid.size
	i, there := t.find(kid.name)
	if !there {
		next.kids = slices.Insert(slices.Clone(t.kids), i, kid)
		return next.written()
	}
	next.size -= t.kids[i].size
	next.kids = slices.Clone(t.kids)
	next.kids[i] = kid
	return next.written()
}

// without returns the tree, which is taken apart, without its member i.
func (t *Tree) without(i int) *Tree {
	next := *t
	next.text, next.size = nil, t.size-t.kids[i].size
	next.kids = slices.Delete(slices.Clone(t.kids), i, i+1)
	return next.written()
}

// smallTree is the most bytes of a tree of which the text is kept.
const smallTree = 4096

// written returns the changed tree with its text, if that is small: the trees that
// share it, such as all states of the records until one member changes its own again,
// are then written with one copy for it.
func (t *Tree) written() *Tree {
	if t.size <= smallTree {
		t.text = t.Text()
	}
	return t
}

// Inside returns the patch of what is at the member of an object, if all of it is
// about that and below, and every operation is about one place.
func (p Patch) Inside(member string) (Patch, bool) {
	inside := slices.Clone(p)
	for i, o := range inside {
		if o.Op == "move" || o.Op == "copy" || len(o.path) < 2 || o.path[0] != member || slices.ContainsFunc(o.path, func(name string) bool { return len(name) > jp.MaxKeyLen }) {
			return nil, false
		}
		inside[i].path = o.path[1:]
	}
	return inside, true
}

// ApplyTo is Apply to a tree, for patches that Inside returned. What they leave alone
// stays as it was, to the byte.
func (p Patch) ApplyTo(t *Tree) (*Tree, error) {
	budget, start := maxBytes, time.Now()
	for i, o := range p {
		next, err := o.applyTo(t, o.path, treeLevels, &budget)
		if err == nil && time.Since(start) > maxTime {
			err = errTooSlow
		}
		if err != nil {
			return nil, &OpError{i, o, err}
		}
		t = next
	}
	return t, nil
}

// applyTo applies the operation to what is at a path of the tree.
func (o *Op) applyTo(t *Tree, path []string, levels int, budget *int) (*Tree, error) {
	if t = t.split(); !t.apart {
		return o.applyBelow(t, path, budget)
	}
	i, there := t.find(path[0])
	last := len(path) == 1
	switch {
	case last && o.Op == "add", last && o.Op == "replace" && there:
		if *budget -= len(o.Value); *budget < 0 {
			return nil, errTooBig
		}
		return t.with(leaf(path[0], label(path[0]), bytes.Clone(o.Value))), nil
	case !there:
		return nil, errNoPath
	case last && o.Op == "remove":
		return t.without(i), nil
	}
	kid := t.kids[i]
	next, err := kid, error(nil)
	if last || levels == 0 {
		next, err = o.applyBelow(kid, path[1:], budget)
	} else {
		next, err = o.applyTo(kid, path[1:], levels-1, budget)
	}
	if err != nil || o.Op == "test" {
		return t, err
	}
	return t.with(next), nil
}

// applyBelow applies the operation to the text of a tree.
func (o *Op) applyBelow(t *Tree, path []string, budget *int) (*Tree, error) {
	idx, err := plantDocument(t.Text())
	if err != nil {
		return nil, err
	}
	below := *o
	below.path = path
	if err := below.apply(idx, budget); err != nil || o.Op == "test" {
		return t, err
	}
	text, err := readAt(idx, nil)
	if err != nil {
		return nil, err
	}
	return leaf(t.name, t.label, bytes.Clone(text)), nil
}
