package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"golang.org/x/sys/unix"

	"muster/lab"
)

// screen shows a cluster as it forms: a table that is redrawn on a terminal,
// else a line for each thing that happens.
type screen struct {
	w     io.Writer
	live  bool
	drawn int // lines of the table on the screen
	last  map[string]lab.Member
}

// newScreen shows a table if it fits on a terminal with that many rows: what has
// scrolled away cannot be redrawn. 0 rows is no terminal.
func newScreen(w io.Writer, members, rows int) *screen {
	return &screen{w: w, live: rows > members+tableRows, last: map[string]lab.Member{}}
}

// tableRows is how many lines the table has beside the members'.
const tableRows = 2

// terminalRows is the height of the terminal that w is; 0 if it is none on which
// the cursor can move.
func terminalRows(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Row)
}

func (s *screen) show(c lab.Cluster) {
	if s.live {
		s.draw(c)
		return
	}
	for _, m := range c.Members {
		was := s.last[m.Name]
		s.last[m.Name] = m
		for _, line := range []struct {
			happened bool
			text     string
		}{
			{m.Joined && !was.Joined, "joined"},
			{m.Slot != was.Slot && m.Slot != "", "holds " + m.Slot},
			{m.Result != was.Result && m.Result != "", "workflow " + m.Result},
			{m.Step != was.Step && m.Step != "", "step " + m.Step},
		} {
			if line.happened {
				fmt.Fprintf(s.w, "%s  %s\n", m.Name, line.text)
			}
		}
	}
	if was := s.last[""]; c.Verdict != was.Result {
		s.last[""] = lab.Member{Result: c.Verdict}
		fmt.Fprintf(s.w, "verdict  %s\n", c.Verdict)
	}
}

// draw replaces the table on the terminal.
func (s *screen) draw(c lab.Cluster) {
	var b strings.Builder
	if s.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\x1b[J", s.drawn)
	}
	t := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "MACHINE\tMEMBER\tWORKFLOW\tSLOT\tRESULT\tSTEP")
	for _, m := range c.Members {
		member := ""
		if m.Joined {
			member = "joined"
		}
		fmt.Fprintf(t, "%s\t%s\t%d/%d\t%s\t%s\t%s\n", m.Name, member, m.Task, m.Tasks, m.Slot, m.Result, m.Step)
	}
	t.Flush()
	verdict := c.Verdict
	if verdict == "" {
		verdict = "open"
	}
	fmt.Fprintf(&b, "barrier: %s\n", verdict)
	s.drawn = len(c.Members) + tableRows
	io.WriteString(s.w, b.String())
}
