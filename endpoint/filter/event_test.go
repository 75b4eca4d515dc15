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
		if _, ok := ParseEvent(text); ok {
			t.Errorf("%.40s is accepted", text)
		}
	}
	if _, ok := ParseEvent(`a=Eq(1)`); !ok {
		t.Error("a modest filter is refused")
	}
}
