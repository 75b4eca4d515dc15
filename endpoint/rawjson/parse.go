package rawjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"gitlab.com/rackn/jp"
)

// Bounds of one JSON text.
const (
	MaxDepth  = 500  // of arrays and objects in one another; encoding/json itself stops at 10000
	MaxNumber = 1000 // characters of a number
	maxScale  = 3    // digits of a number's exponent
)

// Parse returns the compact form of JSON that a client sent, nil for an empty text.
// Bytes that are not UTF-8 become U+FFFD. What Parse returns can be decoded, and
// changed by a patch.
func Parse(text []byte) ([]byte, error) {
	if len(text) == 0 {
		return nil, nil
	}
	text = bytes.ToValidUTF8(text, []byte("\ufffd")) // as Go, and so DRP, reads it
	compact := bytes.NewBuffer(make([]byte, 0, len(text)))
	if err := json.Compact(compact, text); err != nil {
		return nil, err
	}
	if err := CheckShape(compact.Bytes()); err != nil {
		return nil, err
	}
	// What a patch could not read later, such as a member that comes twice, must
	// not get into the store.
	if _, err := jp.MakeIndex(compact.Bytes(), nil); err != nil {
		return nil, unreadable(err)
	}
	return compact.Bytes(), nil
}

// unreadable says why valid JSON cannot be patched, without repeating it.
func unreadable(err error) error {
	switch {
	case errors.Is(err, jp.MalformedObjectError):
		return errors.New("a member comes twice in one object")
	case errors.Is(err, jp.KeyTooLongError):
		return fmt.Errorf("the name of a member has more than %d bytes", jp.MaxKeyLen)
	case errors.Is(err, jp.MalformedStringEscapeError):
		return errors.New("the name of a member has an escape that is half a character")
	}
	return errors.New("a value is not one that a patch can read")
}

// CheckShape returns an error if JSON is nested too deep or has a number that is
// costly to compute with. Its time is linear in the size of raw.
func CheckShape(raw []byte) error { return CheckShapeBelow(raw, 0) }

// CheckShapeBelow is CheckShape of a value that is nested so deeply.
func CheckShapeBelow(raw []byte, depth int) error {
	inString := false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inString:
			if c == '\\' {
				i++
			}
			inString = c != '"'
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return fmt.Errorf("nested more than %d deep", MaxDepth)
			}
		case c == '}' || c == ']':
			depth--
		case c == '-' || c >= '0' && c <= '9':
			end := i + 1
			for end < len(raw) && strings.IndexByte("+-.eE0123456789", raw[end]) >= 0 {
				end++
			}
			number := string(raw[i:min(end, i+MaxNumber+1)])
			scale := strings.TrimLeft(number[strings.LastIndexAny(number, "eE")+1:], "+-")
			scaled := strings.ContainsAny(number, "eE")
			if len(number) > MaxNumber || scaled && len(scale) > maxScale {
				return errors.New("a number is too long")
			}
			if scaled || len(number) > 300 { // only these can be too big for Go's decoder
				if _, err := strconv.ParseFloat(number, 64); errors.Is(err, strconv.ErrRange) {
					return errors.New("a number is too big")
				}
			}
			i = end - 1
		}
	}
	return nil
}
