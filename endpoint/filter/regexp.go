package filter

import "regexp"

var countedRepetition = regexp.MustCompile(`\{[0-9]`)

// modestRegexp bounds what compiling a client's regular expression costs. Each
// counted repetition can make it a thousand times bigger; everything else is
// linear in its length.
func modestRegexp(text string) bool {
	const most = 8
	return len(countedRepetition.FindAllStringIndex(text, most+1)) <= most
}
