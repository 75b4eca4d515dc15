package pattern

import (
	"regexp/syntax"
	"strings"
	"testing"
)

func TestBigExpressionsAreRefused(t *testing.T) {
	for _, text := range []string{
		strings.Repeat("a?", 4000) + "b", "x{1000}", "((x{10}){10}){10}", strings.Repeat("x{1,100}", 1000), strings.Repeat("x", 2*MaxSize), "(", "x{1001}",
	} {
		if _, err := Compile(text); err == nil {
			t.Errorf("%.40s is accepted", text)
		}
	}
	for _, text := range []string{
		"", "^n[0-9]+$", `^(([0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}|(([0-9]{1,3}\.){3}[0-9]{1,3}))$`, "x{0}", "(a|b)*", `\pL+`, "(a*)*", "(a|){3,}", "x{2,5}?", "(?i)ab|cd|^$",
	} {
		p, err := Compile(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		tree, _ := syntax.Parse(text, syntax.Perl)
		prog, err := syntax.Compile(tree.Simplify())
		if err != nil || p.Size() < len(prog.Inst) {
			t.Errorf("%s: size %d, of %d instructions, %v", text, p.Size(), len(prog.Inst), err)
		}
	}
}

func TestLongTextsDoNotMatch(t *testing.T) {
	p, err := Compile(strings.Repeat("a?", 490) + "a")
	if err != nil {
		t.Fatal(err)
	}
	if longest := strings.Repeat("a", MaxSteps/p.Size()); !p.Match(longest[:10]) || p.Match(longest+"a") {
		t.Error("matched by the length of the text")
	}
	for n := 0; p.Match(strings.Repeat("a", 100_000)); n++ {
		if n > maxTotal/p.Size()/100_000 {
			t.Fatal("the texts are not bounded together")
		}
	}
}
