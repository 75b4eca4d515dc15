package render

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"muster/endpoint/pattern"
)

func few(*limits, []reflect.Value) float64 { return 0 }

// text is for what makes at most k bytes of each byte that its arguments print.
func text(k float64) cost {
	return func(_ *limits, a []reflect.Value) float64 { return k * sizeOf(a...).bytes }
}

// elements is for what makes k bytes for each element of its arguments.
func elements(k float64) cost {
	return func(_ *limits, a []reflect.Value) float64 {
		n := len(a)
		for _, v := range a {
			n += length(v)
		}
		return k * float64(n)
	}
}

func encoding(_ *limits, a []reflect.Value) float64 { return sizeOf(a...).asText() }

// decimals have more digits the more of them are multiplied.
func decimals(_ *limits, a []reflect.Value) float64 {
	return 16*float64(len(a))*float64(len(a)) + 8*sizeOf(a...).bytes
}

func short(_ *limits, a []reflect.Value) float64 {
	const most = 1024
	s := sizeOf(a...).bytes
	if s > most {
		panic(fmt.Errorf("expected a version and a condition of at most %d bytes together", most))
	}
	return 16 * s
}

func repeatCost(_ *limits, a []reflect.Value) float64 { return abs(a[0]) * float64(a[1].Len()) }

func replaceCost(_ *limits, a []reflect.Value) float64 {
	return float64(a[2].Len()) + occurrences(a[2], a[0])*float64(a[1].Len())
}

func joinCost(_ *limits, a []reflect.Value) float64 {
	return 2*sizeOf(a[1]).bytes + float64(length(a[1])+1)*float64(a[0].Len())
}

func indentCost(_ *limits, a []reflect.Value) float64 {
	return 2 * (float64(a[1].Len()) + abs(a[0])*float64(2+strings.Count(a[1].String(), "\n")))
}

// wrapCost counts two lines, at most, for each length of a line.
func wrapCost(_ *limits, a []reflect.Value) float64 {
	str, separator := a[len(a)-1], 1.0
	if len(a) == 3 {
		separator = float64(a[1].Len() + 1)
	}
	lines := 2 * (float64(str.Len())/float64(max(a[0].Int(), 1)) + 1)
	return 2*float64(str.Len()) + 2*lines*separator
}

func splitCost(_ *limits, a []reflect.Value) float64 {
	return 128 * (1 + occurrences(a[len(a)-1], a[0]))
}

// countCost is for numbers in a row. Those that are near the biggest number would
// count past it, for ever.
func countCost(_ *limits, a []reflect.Value) float64 {
	const biggest = 1 << 53
	sum, step := 1.0, math.Inf(1)
	for i, v := range a {
		n := abs(v)
		if n > biggest {
			return math.Inf(1)
		}
		sum += n
		if i > 0 { // the step is the second or the third, if it is there
			step = min(step, max(n, 1))
		}
	}
	if len(a) < 3 {
		step = 1
	}
	return 128 * (sum/step + 2)
}

func dictCost(_ *limits, a []reflect.Value) float64 {
	sum := 128 * float64(len(a))
	for i := 0; i < len(a); i += 2 {
		sum += 2 * sizeOf(a[i]).bytes
	}
	return sum
}

// comparisons compare each of the elements of one argument with others.
func comparisons(_ *limits, a []reflect.Value) float64 {
	n := len(a)
	if len(a) == 1 { // uniq: with one another
		n = length(a[0])
	}
	s := sizeOf(a...)
	if s.bytes > maxMade || s.bytes*float64(n) > maxWork {
		panic(fmt.Errorf("too much to compare: expected bytes times elements to be at most %d", maxWork))
	}
	return 16 * float64(length(a[0]))
}

// expression is the pattern of a call, nil if it is none: the function says so.
func expression(a []reflect.Value) *pattern.Pattern {
	p, err := pattern.Compile(a[0].String())
	if errors.Is(err, pattern.ErrTooBig) {
		panic(err)
	}
	if err != nil {
		return nil
	}
	if !p.Fits(a[1].Len()) {
		panic(fmt.Errorf("a text of %d bytes is too long for this regular expression", a[1].Len()))
	}
	return p
}

// matchesCost is for what uses all matches. To find them all can take the square of
// the text's length, and memory for each, so they are counted first and paid for one
// by one, watching the clock.
func matchesCost(l *limits, a []reflect.Value) float64 {
	p := expression(a)
	if p == nil {
		return 0
	}
	l.charge("a regular expression", 4*float64(a[1].Len()))
	replacement, references := 0, 0
	if a[2].Kind() == reflect.String {
		replacement, references = a[2].Len(), strings.Count(a[2].String(), "$")
	}
	p.Each(a[1].String(), func(match string) {
		l.charge("a regular expression", 48+2*float64(replacement+references*len(match)))
	})
	return 48
}

// maxPadding bounds the width and the precision that a format asks for.
const maxPadding = 1000

var verbs = regexp.MustCompile(`%([^a-zA-Z%]*)(.?)`)

// printfCost takes each verb for one that prints the biggest of the arguments.
func printfCost(_ *limits, a []reflect.Value) float64 {
	format := a[0].String()
	var most size
	for _, v := range a[1:] {
		s := sizeOf(v)
		most.bytes, most.nodes = max(most.bytes, s.bytes), max(most.nodes, s.nodes)
	}
	all := sizeOf(a...)
	made := 2*float64(len(format)) + 8*all.bytes + 64*float64(len(a))
	indexed := strings.Contains(format, "[")
	padding := 0.0
	for _, verb := range verbs.FindAllStringSubmatch(format, -1) {
		flags := verb[1]
		if strings.Contains(flags, "*") {
			panic(errors.New("expected a format without *"))
		}
		padding = 0
		for _, digits := range strings.FieldsFunc(flags, func(r rune) bool { return r < '0' || r > '9' }) {
			n, err := strconv.Atoi(digits)
			if err != nil || n > maxPadding {
				panic(fmt.Errorf("expected widths and precisions of at most %d", maxPadding))
			}
			padding += float64(n)
		}
		if strings.ContainsAny(verb[2], "fF") {
			padding += 320 // digits of the biggest number
		}
		made += 32 + padding*most.nodes
		if indexed {
			made += 8 * most.bytes
		}
	}
	return made
}

func abs(v reflect.Value) float64 { return max(float64(v.Int()), -float64(v.Int())) }

func occurrences(in, what reflect.Value) float64 {
	return float64(strings.Count(in.String(), what.String()))
}

// length is how many elements a value has, 0 if it has none.
func length(v reflect.Value) int {
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Slice, reflect.Array, reflect.Map:
		return v.Len()
	}
	return 0
}
