package scenario

import (
	"encoding/xml"
	"fmt"
	"io"
)

// Report is what came of a run.
type Report struct {
	Scenario     string    `json:"scenario"`
	File         string    `json:"file"`
	Endpoint     string    `json:"endpoint"` // its URL, or "embedded"
	Held         bool      `json:"held"`     // everything that was expected, and nothing went wrong
	Error        string    `json:"error"`    // why the run ended early, or ""
	Seconds      float64   `json:"seconds"`
	Done         []Done    `json:"done"`
	Expectations []Finding `json:"expectations"`
}

// Done is an action that was carried out.
type Done struct {
	Line int     `json:"line"`
	At   float64 `json:"at"` // seconds after the start
	What string  `json:"what"`
}

// Failures are the expectations that did not hold.
func (r Report) Failures() []Finding {
	var failed []Finding
	for _, f := range r.Expectations {
		if f.Result == Failed {
			failed = append(failed, f)
		}
	}
	return failed
}

// The elements of JUnit's XML, as CI servers read it.
type (
	suites struct {
		XMLName xml.Name `xml:"testsuites"`
		Suites  []suite  `xml:"testsuite"`
	}
	suite struct {
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Errors   int        `xml:"errors,attr"`
		Skipped  int        `xml:"skipped,attr"`
		Time     string     `xml:"time,attr"`
		Cases    []testcase `xml:"testcase"`
	}
	testcase struct {
		Class   string   `xml:"classname,attr"`
		Name    string   `xml:"name,attr"`
		Time    string   `xml:"time,attr"`
		Failure *problem `xml:"failure"`
		Error   *problem `xml:"error"`
		Skipped *problem `xml:"skipped"`
	}
	problem struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes the report as JUnit's XML: a test case for each expectation, and,
// where the run ended early, one with that error.
func (r Report) WriteJUnit(w io.Writer) error {
	s := suite{Name: r.Scenario, Time: seconds(r.Seconds)}
	for _, f := range r.Expectations {
		c := testcase{Class: r.Scenario, Name: fmt.Sprintf("line %d: %s", f.Line, f.Expected), Time: seconds(f.Seconds)}
		switch f.Result {
		case Failed:
			s.Failures++
			c.Failure = &problem{"seen: " + f.Seen, fmt.Sprintf("%s:%d\nexpected: %s\nseen: %s\nafter %s s, at %s s", r.File, f.Line, f.Expected, f.Seen, seconds(f.Seconds), seconds(f.At+f.Seconds))}
		case Skipped:
			s.Skipped++
			c.Skipped = &problem{Message: "the run ended before"}
		}
		s.Cases = append(s.Cases, c)
	}
	if r.Error != "" {
		s.Errors++
		s.Cases = append(s.Cases, testcase{Class: r.Scenario, Name: "the run", Time: seconds(r.Seconds), Error: &problem{Message: r.Error}})
	}
	s.Tests = len(s.Cases)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(suites{Suites: []suite{s}}); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func seconds(s float64) string { return fmt.Sprintf("%.3f", s) }
