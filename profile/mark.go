package profile

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"

	"muster/internal/rawjson"
)

// Mark is what a barrier looks at in a record: so little of it that reading a
// thousand for every state of the profile costs little. Its maps are shared and
// must not be changed.
type Mark struct {
	Name    string
	Life    string
	Results map[string]string
	Arrived map[string]string
	RunID   string // of the round that the run belongs to
	State   string // of the run
	At      int64  // when that was recorded, as in Run
	joined  bool
	text    []byte // of the record, as the newest state has it
}

// Joined reports whether an agent has joined with the record.
func (m Mark) Joined() bool { return m.joined }

// Marks returns the marks of all records by UUID, each as its record decodes by
// encoding/json. One that does not, as it was edited by hand, must not hide the
// others: its mark is that of a member that has not joined. Of two states of a view
// it reads the records that differ.
func (d *Document) Marks() (map[string]Mark, error) {
	text := d.Params[ParamMembers]
	if known, ok := recall[map[string]Mark](d.memo, ParamMembers, text); ok {
		return known, nil
	}
	before := last[map[string]Mark](d.memo, ParamMembers)
	now := make(map[string]Mark, len(before))
	err := rawjson.Each(text, func(uuid string, record []byte) {
		m, known := before[uuid]
		if !known || !bytes.Equal(m.text, record) {
			m = markOf(record)
		}
		m.text = record // the text of before may be part of an old answer
		now[uuid] = m
	})
	if err != nil && !isNull(text) {
		_, err = d.rawRecords() // says what is wrong
		return nil, err
	}
	keep(d.memo, ParamMembers, text, now)
	return now, nil
}

// markOf returns the mark of a record. What is not as plain as members write it is
// left to encoding/json, so that both take and refuse the same.
func markOf(record []byte) Mark {
	var m Mark
	if plainRecord.fits(record, m.take) {
		return m
	}
	var r Record
	if json.Unmarshal(record, &r) != nil {
		return Mark{}
	}
	return Mark{Name: r.Name, Life: r.Life, Results: r.Results, Arrived: r.Arrived, RunID: r.Run.RoundID, State: r.Run.State, At: r.Run.At, joined: r.Joined()}
}

// take takes one member of a plain record.
func (m *Mark) take(name, value []byte) {
	switch string(name) {
	case "name":
		m.Name = rawjson.String(value)
	case "life":
		m.Life = rawjson.String(value)
	case "instance":
		m.joined = rawjson.String(value) != ""
	case "results":
		m.Results = plainTexts(value)
	case "arrived":
		m.Arrived = plainTexts(value)
	case "run":
		_ = rawjson.Walk(value, m.takeRun) // it is an object
	}
}

// takeRun takes one member of a plain run.
func (m *Mark) takeRun(name, value []byte) {
	switch string(name) {
	case "round_id":
		m.RunID = rawjson.String(value)
	case "state":
		m.State = rawjson.String(value)
	case "at":
		m.At, _ = strconv.ParseInt(string(value), 10, 64) // it is one
	}
}

// plainTexts returns the members of an object, all of which are strings.
func plainTexts(object []byte) map[string]string {
	var texts map[string]string
	_ = rawjson.Walk(object, func(name, value []byte) {
		if texts == nil {
			texts = map[string]string{}
		}
		texts[string(name)] = rawjson.String(value)
	})
	return texts
}

// shape is what JSON must look like so that it is sure, without decoding it, that
// encoding/json takes it for a type: no null, no member twice, none that the type
// does not name in the same letters, no number that may be too large.
type shape struct {
	kind    reflect.Kind
	fields  map[string]field // of a struct
	element *shape           // of a map
}

// field is one of a struct.
type field struct {
	shape *shape
	bit   uint64 // its own
}

// plainRecord is the shape of a Record.
var plainRecord = shapeOf(reflect.TypeFor[Record]())

// shapeOf returns the shape of a type that is made of strings, integers, structs
// and maps.
func shapeOf(t reflect.Type) *shape {
	s := &shape{kind: t.Kind()}
	switch s.kind {
	case reflect.Map:
		s.element = shapeOf(t.Elem())
	case reflect.Struct:
		s.fields = map[string]field{}
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			s.fields[name] = field{shapeOf(t.Field(i).Type), 1 << i}
		}
	}
	return s
}

// fits reports whether a value, which is JSON, has the shape. take, unless it is
// nil, gets the members of the value, up to the first that does not fit.
func (s *shape) fits(value []byte, take func(name, value []byte)) bool {
	switch s.kind {
	case reflect.String:
		return value[0] == '"'
	case reflect.Int:
		return plainInteger(value, 9)
	case reflect.Int64:
		return plainInteger(value, 18)
	case reflect.Struct, reflect.Map:
		fits, seen := true, uint64(0)
		err := rawjson.Walk(value, func(name, value []byte) {
			if !fits {
				return
			}
			below := s.element
			if s.kind == reflect.Struct {
				f, known := s.fields[string(name)]
				fits, below, seen = known && seen&f.bit == 0, f.shape, seen|f.bit
			}
			if fits = fits && below.fits(value, nil); fits && take != nil {
				take(name, value)
			}
		})
		return err == nil && fits
	}
	return false
}

// plainInteger reports whether a number has no fraction, no exponent and no more
// than so many digits.
func plainInteger(number []byte, most int) bool {
	digits := bytes.TrimPrefix(number, []byte("-"))
	for _, c := range digits {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(digits) <= most
}
