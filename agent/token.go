package agent

import (
	"bytes"
	"fmt"
	"os"
	"time"
)

// TokenLife returns when the token in a file was issued, at the latest, and how
// long it lives, as far as that is noted beside it; else zeros. Tokens are opaque
// (wire contract, fact 7).
func TokenLife(file string) (issued time.Time, life time.Duration, err error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return issued, 0, fmt.Errorf("token: %w", err)
	}
	known, err := readIssue(file)
	if err != nil || known.SHA256 != sumOf(bytes.TrimSpace(raw)) {
		return time.Time{}, 0, nil // written by somebody who notes nothing
	}
	return known.Issued, known.life(), nil
}
