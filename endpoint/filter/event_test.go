package filter

import (
	"strings"
	"testing"
)

func TestEventFiltersAreBounded(t *testing.T) {
	for _, text := range []string{
		strings.Repeat("Not(", maxTerms+1) + "a=Eq(1)" + strings.Repeat(")", maxTerms+1),
		`a=Re("` + strings.Repeat("x{1000}", 9) + `")`,
	} {
		if _, err := ParseEvent(text); err == nil {
			t.Errorf("%.40s is accepted", text)
		}
	}
	if _, err := ParseEvent(`a=Eq(1)`); err != nil {
		t.Errorf("a modest filter: %v", err)
	}
}
