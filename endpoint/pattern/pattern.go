// Package pattern runs regular expressions of clients at a bounded cost.
//
// A Go expression takes time in proportion to its own size times that of the text,
// both of which a client may choose. So a Pattern has a bounded size, and it matches
// no text for which size times length is too much.
//
//	p, err := pattern.Compile("^n[0-9]+$")
//	if p.Match("n1") { ... }
package pattern

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"sync/atomic"
)

const (
	// MaxSize bounds the instructions of an expression.
	MaxSize = 1000
	// MaxSteps bounds the instructions times the bytes of one text.
	MaxSteps = 1 << 26
	// maxTotal bounds the same for all texts that a Pattern is matched with.
	maxTotal = 1 << 28
)

// ErrTooBig is what Compile returns for an expression of more than MaxSize instructions.
var ErrTooBig = fmt.Errorf("a regular expression has more than %d instructions", MaxSize)

// Pattern is a regular expression of a bounded size. It is safe for concurrent use.
type Pattern struct {
	re    *regexp.Regexp
	size  int
	total atomic.Int64
}

// Compile returns an error for what is no expression, and ErrTooBig.
func Compile(text string) (*Pattern, error) {
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	// Before compilation, which is where a counted repetition is written out.
	n := size(tree) + 2
	if n > MaxSize {
		return nil, ErrTooBig
	}
	re, err := regexp.Compile(text)
	return &Pattern{re: re, size: n}, err
}

// Size is about how many instructions the pattern has.
func (p *Pattern) Size() int { return p.size }

// Fits reports whether a text of n bytes is short enough to be matched.
func (p *Pattern) Fits(n int) bool { return Fits(p.size, n) }

// Fits reports whether expressions of a size, together, may be matched with n bytes.
func Fits(size, n int) bool { return float64(size)*float64(n) <= MaxSteps }

// Match reports whether the text matches. Nothing that is too long does, and nothing
// any more once the texts of earlier calls were too long together.
func (p *Pattern) Match(text string) bool {
	if !p.Fits(len(text)) || p.total.Add(int64(p.size*len(text))) > maxTotal {
		return false
	}
	return p.re.MatchString(text)
}

// Each calls f with each match in a text that Fits. Each call costs another search
// of the text: f may panic to end that.
func (p *Pattern) Each(text string, f func(match string)) {
	p.re.ReplaceAllStringFunc(text, func(match string) string {
		f(match)
		return ""
	})
}

// size estimates, from above, how many instructions an expression is compiled to.
func size(re *syntax.Regexp) int {
	n := 0
	for _, sub := range re.Sub {
		n = min(n+size(sub), MaxSize+1)
	}
	switch re.Op {
	case syntax.OpConcat:
	case syntax.OpLiteral:
		n = len(re.Rune)
	case syntax.OpAlternate:
		n += len(re.Sub)
	case syntax.OpRepeat:
		n = (n+1)*max(re.Min, re.Max, 1) + 1
	case syntax.OpCapture, syntax.OpStar:
		n += 2
	default:
		n++
	}
	return min(n, MaxSize+1)
}
