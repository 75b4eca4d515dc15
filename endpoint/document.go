package endpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"gitlab.com/rackn/jp"
	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint/schema"
)

// dataFormat is the format of data files that this version writes and reads.
const dataFormat = 1

type documentHead struct {
	Format int
	identity
}

// document is what a data file holds.
type document struct {
	documentHead
	Version uint64 // of the store
	Objects []struct {
		objectHead
		Object json.RawMessage // with what clients do not see
	}
}

type objectHead struct {
	Type    string
	Version uint64
	Public  []byte `json:",omitempty"` // the key pair of its secure params
	Private []byte `json:",omitempty"`
}

// wayOut ends every message about a data file that cannot be used as it is.
const wayOut = "restore a copy of it, or move it and its .d folder away to start afresh"

// read returns the document in the file, nil if there is no file yet. It does
// not change anything. compat is the mode that the endpoint is to run in.
func (d *dataFile) read(compat string) (*document, error) {
	info, err := os.Lstat(d.file.Path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("endpoint: data file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, d.unfit("expected a regular file, found %s: name another file", info.Mode())
	}
	if wide := info.Mode().Perm() &^ 0o700; wide != 0 {
		return nil, d.unfit("expected mode 0600, found %04o, and there are keys in it: "+
			"run chmod 600, and start afresh if somebody may have read it", info.Mode().Perm())
	}
	raw, err := os.ReadFile(d.file.Path())
	if err != nil {
		return nil, fmt.Errorf("endpoint: data file: %w", err)
	}
	var head struct {
		Format int
		Compat *string
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return nil, d.unfit("expected the JSON document that an endpoint has written, found %d bytes that are not (%v): %s", len(raw), err, wayOut)
	}
	switch {
	case head.Format > dataFormat:
		return nil, d.unfit("expected format %d, found %d: start the later version that wrote it, or name another file", dataFormat, head.Format)
	case head.Format < 1 || head.Compat == nil:
		return nil, d.unfit("expected a document of format %d, found other JSON: name another file", dataFormat)
	case *head.Compat != compat:
		return nil, d.unfit("expected the data of an endpoint with compat %q, found compat %q: start with that, or name another file", compat, *head.Compat)
	}
	doc := &document{}
	if err := decodeStrictly(raw, doc); err != nil {
		return nil, d.unfit("expected a document of format %d, found another (%v): %s", dataFormat, err, wayOut)
	}
	if doc.Life == "" || len(doc.Pepper) == 0 || len(doc.TokenKey) != 32 {
		return nil, d.unfit("expected Life, Pepper and a TokenKey of 32 bytes, found less: %s", wayOut)
	}
	return doc, nil
}

func (d *dataFile) unfit(format string, args ...any) error {
	return fmt.Errorf("endpoint: data file %s: "+format, append([]any{d.file.Path()}, args...)...)
}

// decodeStrictly decodes one JSON document of known fields, and nothing after it.
func decodeStrictly(raw []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more text after its end")
	}
	return nil
}

// load fills an empty store with the objects of a document.
func (s *store) load(doc *document) error {
	for i, line := range doc.Objects {
		rec, err := s.reload(line.objectHead, line.Object)
		if err != nil {
			return fmt.Errorf("object %d: %w", i+1, err)
		}
		if s.objects[line.Type] == nil {
			s.objects[line.Type] = map[string]*record{}
		}
		if s.objects[line.Type][rec.key] != nil {
			return fmt.Errorf("object %d: %s %s comes twice", i+1, line.Type, rec.key)
		}
		s.objects[line.Type][rec.key] = rec
	}
	// The declarations of params may be newer than what uses them: with the next
	// write of an object its params are checked again.
	s.version, s.schemas = doc.Version, doc.Version
	return nil
}

// reload makes a record again.
func (s *store) reload(line objectHead, object []byte) (*record, error) {
	compact := new(bytes.Buffer)
	if err := json.Compact(compact, object); err != nil {
		return nil, err
	}
	if _, err := jp.MakeIndex(compact.Bytes(), nil); err != nil {
		return nil, err
	}
	rec := &record{raw: compact.Bytes(), version: line.Version}
	var err error
	if rec.head, rec.params, err = decode(line.Type, rec.raw); err != nil {
		return nil, err
	}
	if rec.key = rec.head.Key(); rec.key == "" {
		return nil, fmt.Errorf("%s without a key", line.Type)
	}
	if rec.params != nil {
		if len(line.Public) != 32 || len(line.Private) != 32 {
			return nil, fmt.Errorf("%s %s: expected a key pair of 32 bytes each", line.Type, rec.key)
		}
		rec.keys = &keyPair{(*[32]byte)(line.Public), (*[32]byte)(line.Private)}
	}
	if p, ok := rec.head.(*models.Param); ok && p.Schema != nil && schema.Check(p.Schema) == nil {
		if rec.schema, err = schema.Compile(p.Schema); err != nil {
			return nil, fmt.Errorf("%s %s: %w", line.Type, rec.key, err)
		}
	}
	rec.shown, err = s.present(line.Type, rec.raw)
	return rec, err
}
