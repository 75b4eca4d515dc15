package rootstep

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"syscall"

	"muster/guard"
)

// ErrHelper means that the helper cannot be asked, or that it refuses: nothing has
// begun.
var ErrHelper = errors.New("root step")

// Tenure is that of the slot under which a step runs.
type Tenure struct {
	Role     string `json:"role"`
	Slot     string `json:"slot"`
	Epoch    int64  `json:"epoch"`
	Instance string `json:"instance"`
}

var (
	plainRole     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	plainNumber   = regexp.MustCompile(`^[0-9]{1,9}$`)
	plainInstance = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)
)

// environment is what the command gets of t. The error names what is more than plain
// letters and digits, or of another role than the step's.
func (t Tenure) environment(role string) ([]string, error) {
	switch {
	case t.Role != role || !plainRole.MatchString(t.Role):
		return nil, fmt.Errorf("role: expected that of the step, %q, found %q", role, t.Role)
	case !plainNumber.MatchString(t.Slot):
		return nil, fmt.Errorf("slot: expected a number, found %q", t.Slot)
	case t.Epoch < 0:
		return nil, fmt.Errorf("epoch: expected a number from 0, found %d", t.Epoch)
	case !plainInstance.MatchString(t.Instance):
		return nil, fmt.Errorf("instance: expected letters and digits, found %q", t.Instance)
	}
	return []string{"MUSTER_ROLE=" + t.Role, "MUSTER_SLOT=" + t.Slot, "MUSTER_EPOCH=" + strconv.FormatInt(t.Epoch, 10), "MUSTER_INSTANCE=" + t.Instance}, nil
}

// word is a line to the helper; one of its fields is set. File is the first, Start the
// second, once the start of the step was noted; the others follow in any order.
type word struct {
	File   string           `json:"file,omitempty"`
	Start  *start           `json:"start,omitempty"`
	Limit  *guard.Deadlines `json:"limit,omitempty"`
	Signal syscall.Signal   `json:"signal,omitempty"`
}

type start struct {
	Deadlines guard.Deadlines `json:"deadlines"`
	Tenure    *Tenure         `json:"tenure,omitempty"`
}

// report is a line of the helper; one of its fields is set.
type report struct {
	Ready    *ready           `json:"ready,omitempty"`    // the file was looked at, and may be started
	Refused  string           `json:"refused,omitempty"`  // why nothing is run
	Started  bool             `json:"started,omitempty"`  // the command runs
	Failed   string           `json:"failed,omitempty"`   // why the command could not be started
	Accepted *guard.Deadlines `json:"accepted,omitempty"` // the helper and its guard keep them from now on
	Ended    *ended           `json:"ended,omitempty"`    // nobody of the command is left
}

type ready struct {
	Cgroup string `json:"cgroup,omitempty"` // directory of the helper's, "" if it has none
}

type ended struct {
	Code int  `json:"code"`
	Late bool `json:"late,omitempty"` // it was ended at its deadline
	Lost bool `json:"lost,omitempty"` // it was killed, because a process of the helper ended
}

// lastWords is said by the guard if the helper ended first, once nobody is left.
const lastWords = `{"ended":{"code":0,"lost":true}}` + "\n"

// mostLine bounds a line, in bytes.
const mostLine = 4096

// reader reads lines, none longer than mostLine.
type reader struct{ lines *bufio.Reader }

func newReader(from io.Reader) reader { return reader{bufio.NewReaderSize(from, mostLine)} }

// read reads one line into v. There is nothing in it that v has no field for.
func (r reader) read(v any) error {
	line, err := r.lines.ReadSlice('\n')
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	return d.Decode(v)
}
