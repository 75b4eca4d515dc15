package main

import (
	"io"
	"os"
	"path/filepath"
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

// Every `muster …` line in a block of code of the documents is a command with
// flags and arguments that the program takes.
func TestDocumentedCommandsParse(t *testing.T) {
	documents, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	parsed := 0
	for _, name := range append(documents, "../../README.md") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, block := range strings.Split(string(text), "```") {
			if i%2 == 0 {
				continue
			}
			for line := range strings.Lines(block) {
				line, _, _ = strings.Cut(strings.TrimSpace(line), "  #")
				words, ok := strings.CutPrefix(line, "muster ")
				if !ok {
					continue
				}
				parsed++
				if err := parse(shellWords(words)); err != nil {
					t.Errorf("%s: %s: %v", filepath.Base(name), line, err)
				}
			}
		}
	}
	if parsed < 10 {
		t.Errorf("%d commands found, there should be more", parsed)
	}
}

// parse finds the command and parses its flags and arguments, without running it.
func parse(words []string) error {
	cmd, rest, err := newRoot(&app{stdout: io.Discard, stderr: io.Discard, getenv: func(string) string { return "" }}).Find(words)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}

// shellWords splits at spaces outside of single quotes.
func shellWords(line string) []string {
	var words []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words
}
