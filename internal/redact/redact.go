// Package redact keeps tokens out of texts that people or logs get to see.
//
// Guaranteed: a run of 40 or more characters of base64 (either alphabet) is
// replaced, and so is what follows "Bearer" or "Basic". DRP's tokens are far
// longer than that, and without slashes (wire contract, section 8). Absolute
// paths stay, as they say where to look: what begins with a slash and has no
// such run between two of them. Not guaranteed: a shorter secret, such as a
// password, is not recognized.
package redact

import (
	"regexp"
	"slices"
	"strings"
)

var tokens = regexp.MustCompile(`(?i)\b(bearer|basic)\s+\S+|[A-Za-z0-9+/_=-]{40,}`)

// Tokens returns s with everything that may be a token replaced.
func Tokens(s string) string {
	return tokens.ReplaceAllStringFunc(s, func(found string) string {
		if isPath(found) {
			return found
		}
		return "[redacted]"
	})
}

func isPath(s string) bool {
	return strings.HasPrefix(s, "/") && !slices.ContainsFunc(strings.Split(s, "/"), func(part string) bool { return len(part) >= 40 })
}
