package archtest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every promise of docs/guarantees.md names a test, and every test that it
// names is there: a promise whose test was renamed is one that nothing holds.
func TestEveryGuaranteeNamesATestThatExists(t *testing.T) {
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, "docs", "guarantees.md"))
	if err != nil {
		t.Fatal(err)
	}
	folder := regexp.MustCompile("`([a-z-]+(?:/[a-z-]+)*)`")
	test := regexp.MustCompile(`\bTest[A-Z]\w+`)
	rows := 0
	for line := range strings.Lines(string(text)) {
		promise, holds, row := strings.Cut(strings.Trim(line, "|\n "), " | ")
		if !row || promise == "promise" {
			continue
		}
		rows++
		if !test.MatchString(holds) {
			t.Errorf("no test holds %q", promise)
		}
		where := ""
		for _, word := range regexp.MustCompile(folder.String()+"|"+test.String()).FindAllString(holds, -1) {
			if m := folder.FindStringSubmatch(word); m != nil {
				if info, err := os.Stat(filepath.Join(root, m[1])); err == nil && info.IsDir() {
					where = m[1]
				}
				continue
			}
			if !hasTest(t, filepath.Join(root, where), word) {
				t.Errorf("%q: %s has no %s", promise, where, word)
			}
		}
	}
	if rows == 0 {
		t.Error("the table of promises is gone")
	}
}

func hasTest(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(source), "func "+name+"(") {
			return true
		}
	}
	return false
}
