package endpoint

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"muster/endpoint/disk"
)

// dataFile is the file that an endpoint is kept in. It is written anew for every
// transaction.
type dataFile struct {
	file    *disk.File
	replace func(func(*bufio.Writer) error) error // file.Replace
	head    []byte                                // the lines of the document that never change
	// inDoubt says that the file may hold a transaction that was refused.
	inDoubt bool
}

func openDataFile(path string) (*dataFile, error) {
	file, err := disk.Open(path)
	if err != nil {
		return nil, fmt.Errorf("endpoint: data file: %w", err)
	}
	return &dataFile{file: file, replace: file.Replace}, nil
}

// close lets another process have the file.
func (d *dataFile) close() error {
	if d == nil {
		return nil
	}
	return d.file.Close()
}

// begin sets what stays the same in every document from now on.
func (d *dataFile) begin(who *identity) error {
	head, err := json.MarshalIndent(documentHead{Format: dataFormat, identity: *who}, "", "")
	if err != nil {
		return fmt.Errorf("endpoint: data file: %w", err)
	}
	d.head = head[:len(head)-len("\n}")]
	return nil
}

// write replaces the file by one that holds the store as it will be when t is
// committed. If it fails, t is not in the file, unless d is in doubt from then on.
func (d *dataFile) write(t *tx) error {
	err := d.replace(func(out *bufio.Writer) error { return d.encode(out, t) })
	if err != nil {
		d.inDoubt = d.inDoubt || errors.Is(err, disk.ErrInDoubt)
		return fmt.Errorf("endpoint: data file: %w", err)
	}
	d.inDoubt = false
	return nil
}

// takeBack ends a doubt by writing the store as it is.
func (d *dataFile) takeBack(s *store) error {
	if d == nil || !d.inDoubt {
		return nil
	}
	return d.write(&tx{s: s, readOnly: true})
}

// encode writes the document, with each object on a line of its own.
func (d *dataFile) encode(out *bufio.Writer, t *tx) error {
	_, _ = out.Write(d.head) // a bufio.Writer keeps its error for Flush
	fmt.Fprintf(out, ",\n\"Version\": %d,\n\"Objects\": [", t.s.version+uint64(len(t.order)))
	prefixes := map[string]bool{}
	for prefix := range t.s.objects {
		prefixes[prefix] = true
	}
	for what := range t.staged {
		prefixes[what.prefix] = true
	}
	separator := "\n"
	for _, prefix := range slices.Sorted(maps.Keys(prefixes)) {
		for _, rec := range t.records(prefix) {
			line := objectHead{Type: prefix, Version: rec.version}
			if rec.keys != nil {
				line.Public, line.Private = rec.keys.public[:], rec.keys.private[:]
			}
			head, err := json.Marshal(line)
			if err != nil {
				return err
			}
			_, _ = out.WriteString(separator)
			_, _ = out.Write(head[:len(head)-len("}")])
			_, _ = out.WriteString(`,"Object":`)
			_, _ = out.Write(rec.raw)
			_ = out.WriteByte('}')
			separator = ",\n"
		}
	}
	_, _ = out.WriteString("\n]\n}\n")
	return nil
}
