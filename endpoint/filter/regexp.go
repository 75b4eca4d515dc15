package filter

import "regexp"

var countedRepetition = regexp.MustCompile(`\{[0-9]`)

// maxRepetitions bounds the counted repetitions of a client's regular expression.
const maxRepetitions = 8

// modestRegexp bounds what compiling a client's regular expression costs. Each
// counted repetition can make it a thousand times bigger; everything else is
// linear in its length.
func modestRegexp(text string) bool {
	return len(countedRepetition.FindAllStringIndex(text, maxRepetitions+1)) <= maxRepetitions
}
