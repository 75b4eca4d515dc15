package endpoint

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// dataFile is the file that an endpoint is kept in. It is written anew, synced
// and renamed for every transaction, so that it holds all of one or nothing.
// One process at a time has it.
type dataFile struct {
	path string
	dir  *os.File // its folder, to be synced after a rename
	lock *os.File
	head []byte // the lines of the document that never change
}

// openDataFile locks a data file, which need not be there yet, and removes what
// an earlier process has left half written.
func openDataFile(path string) (*dataFile, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("endpoint: data file: %w", err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("endpoint: data file: %w", err)
	}
	d := &dataFile{path: path, dir: dir}
	if d.lock, err = lockFile(path + ".lock"); err != nil {
		return nil, errors.Join(fmt.Errorf("endpoint: data file %s: %w", path, err), dir.Close())
	}
	if err := d.removeNew(); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// close lets another process have the file.
func (d *dataFile) close() error {
	if d == nil {
		return nil
	}
	return errors.Join(d.dir.Close(), d.lock.Close())
}

func (d *dataFile) newPath() string { return d.path + ".new" }

func (d *dataFile) removeNew() error {
	if err := os.Remove(d.newPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("endpoint: data file: %w", err)
	}
	return nil
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
// committed. When it returns, that survives a crash; if it fails, the file is
// what it was, unless it is the folder that cannot be synced: then nobody knows.
func (d *dataFile) write(t *tx) error {
	if err := d.removeNew(); err != nil {
		return err
	}
	f, err := os.OpenFile(d.newPath(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("endpoint: data file: %w", err)
	}
	out := bufio.NewWriterSize(f, 64<<10)
	err = d.encode(out, t)
	if err := errors.Join(err, out.Flush(), f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("endpoint: data file: %w", err), d.removeNew())
	}
	if err := os.Rename(d.newPath(), d.path); err != nil {
		return errors.Join(fmt.Errorf("endpoint: data file: %w", err), d.removeNew())
	}
	if err := d.dir.Sync(); err != nil {
		return fmt.Errorf("endpoint: folder of the data file: %w", err)
	}
	return nil
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
