package main

import (
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The exit codes are a promise: README and the help name those that the program
// has, and no others.
func TestReadmeAndHelpNameExactlyTheExitCodes(t *testing.T) {
	want := []int{exitOK, exitFailed}
	for _, c := range codes {
		want = append(want, c.code)
	}
	slices.Sort(want)
	want = slices.Compact(want)

	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	help := newRoot(&app{stdout: io.Discard, stderr: io.Discard, getenv: func(string) string { return "" }}).Long
	for name, text := range map[string]string{"README.md": string(readme), "muster --help": help} {
		_, list, found := strings.Cut(text, "Exit codes: ")
		if !found {
			t.Errorf("%s does not list the exit codes", name)
			continue
		}
		list, _, _ = strings.Cut(list, "\n\n")
		var got []int
		for _, m := range regexp.MustCompile(`(?:^|[·,]\s*)(\d+) [a-z]`).FindAllStringSubmatch(list, -1) {
			code, err := strconv.Atoi(m[1])
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, code)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("exit codes in %s (-program +text):\n%s", name, diff)
		}
	}
}
