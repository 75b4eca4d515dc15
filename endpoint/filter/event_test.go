package filter

import (
	"strings"
	"testing"
)

func TestEventFiltersAreBounded(t *testing.T) {
	for _, text := range []string{
		strings.Repeat("Not(", maxTerms+1) + "a=Eq(1)" + strings.Repeat(")", maxTerms+1),
		`a=Re("` + strings.Repeat("x{1000}", 9) + `")`,
		`a=Re("` + strings.Repeat("x{1000}", 8) + `")`,
		`a=Re("` + strings.Repeat("a?", 4000) + `b")`,
		`a=Re(` + strings.Repeat("a?", 4000) + `b)`,
		`Not(And(b=Exists(),Or(a=Re("\")` + strings.Repeat("a?", 4000) + `b"))))`,
		`And(` + strings.Repeat(`a=Re("`+strings.Repeat("a?", 100)+`"),`, 20) + `)`,
	} {
		if _, err := ParseEvent(text); err == nil {
			t.Errorf("%.40s is accepted", text)
		}
	}
	if _, err := ParseEvent(`a=Eq(1)`); err != nil {
		t.Errorf("a modest filter: %v", err)
	}
}

func TestLongEventsDoNotPassExpressions(t *testing.T) {
	f, err := ParseEvent(`Name=Re("^` + strings.Repeat("a?", 480) + `b$"),Not(Name=Re("\\(="))`)
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]bool{10: true, 1 << 20: false} {
		body := `{"Object":{"Name":"ab","Note":"` + strings.Repeat("a", n) + `"}}`
		if f.Holds([]byte(body)) != want {
			t.Errorf("%d bytes: got %v, want %v", n, !want, want)
		}
	}
}
