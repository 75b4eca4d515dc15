package render

import (
	"fmt"
	"reflect"
	"strings"
)

const (
	maxMade  = 64 << 20 // bytes that functions and params make for one task, kept or not
	maxDepth = 1000     // of a value
	maxWork  = 1 << 28  // of a function that compares everything with everything
)

// charge panics, which text/template makes an error of, when a call would make more
// than is left for the rendering of the task. It is asked before the call.
func (l *limits) charge(name string, bytes float64) {
	if err := l.tick(); err != nil {
		panic(err)
	}
	if l.made += bytes; !(l.made <= maxMade) {
		panic(fmt.Errorf("%s makes more than what is left of the %d bytes that templates may make", name, maxMade))
	}
}

// size is how big a value is when it is printed or copied. Values are trees to those
// who print or copy them, however few of their parts differ.
type size struct {
	bytes  float64 // of its texts, and some for everything else
	nodes  float64 // texts, numbers, lists, maps
	indent float64 // the depths of its lines, added up
}

// sizeOf measures values. It stops when they are bigger than anything may be, and
// panics when they are nested too deep, perhaps because they hold themselves.
func sizeOf(values ...reflect.Value) size {
	var s size
	for _, v := range values {
		s.add(v, 0)
	}
	return s
}

func (s *size) add(v reflect.Value, depth int) {
	if s.bytes > maxMade {
		return
	}
	if depth > maxDepth {
		panic(fmt.Errorf("a value is nested more than %d deep", maxDepth))
	}
	if v.Kind() == reflect.Interface {
		s.add(v.Elem(), depth)
		return
	}
	s.nodes++
	s.bytes += 8
	s.indent += float64(depth)
	switch v.Kind() {
	case reflect.String:
		s.bytes += float64(v.Len())
		s.indent += float64(depth * strings.Count(v.String(), "\n"))
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			s.add(v.Index(i), depth+1)
		}
	case reflect.Map:
		for each := v.MapRange(); each.Next(); {
			s.add(each.Key(), depth+1)
			s.add(each.Value(), depth+1)
		}
	case reflect.Pointer:
		s.add(v.Elem(), depth+1)
	case reflect.Struct:
		s.bytes += 64
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				s.add(v.Field(i), depth+1)
			}
		}
	default:
		s.bytes += 16
	}
}

// asText bounds what a value's encoding as JSON or YAML takes.
func (s size) asText() float64 { return 12*s.bytes + 8*s.indent }

// copyOf copies maps and lists, and shares what a template cannot change.
func copyOf(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.Interface:
		if !v.IsNil() {
			c := reflect.New(v.Type()).Elem()
			c.Set(copyOf(v.Elem()))
			return c
		}
	case reflect.Map:
		if !v.IsNil() {
			c := reflect.MakeMapWithSize(v.Type(), v.Len())
			for each := v.MapRange(); each.Next(); {
				c.SetMapIndex(each.Key(), copyOf(each.Value()))
			}
			return c
		}
	case reflect.Slice:
		if !v.IsNil() {
			c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
			for i := range v.Len() {
				c.Index(i).Set(copyOf(v.Index(i)))
			}
			return c
		}
	}
	return v
}
