//go:build manual

package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra/doc"
)

// A program built with this file writes the man pages of its commands into the
// directory that it is given, and is good for nothing else. They are dated by
// SOURCE_DATE_EPOCH (seconds).
func init() {
	root := newRoot(&app{stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv})
	root.DisableAutoGenTag = true
	epoch, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	date := time.Unix(epoch, 0).UTC()
	if err == nil && len(os.Args) == 2 {
		err = doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "Muster", Manual: "Muster", Date: &date}, os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "man pages:", err)
		os.Exit(1)
	}
	os.Exit(0)
}
