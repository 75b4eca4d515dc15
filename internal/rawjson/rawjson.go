// Package rawjson takes JSON objects apart without decoding what is in them. A
// profile of a thousand members is most of a megabyte, of which a member looks at
// some hundred bytes: encoding/json takes several times as long to find them.
//
// Guaranteed: it refuses what encoding/json refuses, and finds what that finds;
// values are parts of the text that it is given, which stays as it is.
package rawjson

import (
	"encoding/binary"
	"encoding/json"
	"errors"
)

// ErrSyntax means that a text is no JSON object.
var ErrSyntax = errors.New("not a JSON object")

// Each calls fn with every member of the object, in the order of the text. It
// reads all of the object, and may have called fn when it returns ErrSyntax. Of
// members with the same name encoding/json takes the last.
func Each(object []byte, fn func(name string, value []byte)) error {
	return Walk(object, func(name, value []byte) { fn(string(name), value) })
}

// Walk is Each for who needs few of the names, as one that is part of the text
// costs nothing.
func Walk(object []byte, fn func(name, value []byte)) error {
	i := blanks(object, 0)
	if i == len(object) || object[i] != '{' {
		return ErrSyntax
	}
	end := members(object, i, 1, fn)
	if end < 0 || blanks(object, end) != len(object) {
		return ErrSyntax
	}
	return nil
}

// String returns what a value stands for that is a string.
func String(value []byte) string { return string(unquote(value)) }

// Object returns the members of an object by name.
func Object(object []byte) (map[string]json.RawMessage, error) {
	found := map[string]json.RawMessage{}
	err := Walk(object, func(name, value []byte) { found[string(name)] = value })
	if err != nil {
		return nil, err
	}
	return found, nil
}

// deepest is how far encoding/json lets values be nested.
const deepest = 10000

// The functions below return the index behind what begins at i, or -1.

// value is any JSON value, nested so deeply.
func value(text []byte, i, depth int) int {
	if i == len(text) {
		return -1
	}
	switch c := text[i]; {
	case c == '"':
		return quoted(text, i)
	case c == '{' && depth < deepest:
		return members(text, i, depth+1, nil)
	case c == '[' && depth < deepest:
		return elements(text, i, depth+1)
	case c == 't':
		return word(text, i, "true")
	case c == 'f':
		return word(text, i, "false")
	case c == 'n':
		return word(text, i, "null")
	}
	return number(text, i)
}

// members is an object. fn, unless it is nil, gets each of its members.
func members(text []byte, i, depth int, fn func(name, value []byte)) int {
	i = blanks(text, i+1)
	if i < len(text) && text[i] == '}' {
		return i + 1
	}
	for i < len(text) && text[i] == '"' {
		key := i
		if i = quoted(text, i); i < 0 {
			return -1
		}
		behind := i
		if i = blanks(text, i); i == len(text) || text[i] != ':' {
			return -1
		}
		begin := blanks(text, i+1)
		if i = value(text, begin, depth); i < 0 {
			return -1
		}
		if fn != nil {
			fn(unquote(text[key:behind]), text[begin:i:i])
		}
		if i = blanks(text, i); i == len(text) {
			return -1
		}
		switch text[i] {
		case '}':
			return i + 1
		case ',':
			i = blanks(text, i+1)
		default:
			return -1
		}
	}
	return -1
}

// elements is an array.
func elements(text []byte, i, depth int) int {
	i = blanks(text, i+1)
	if i < len(text) && text[i] == ']' {
		return i + 1
	}
	for {
		if i = value(text, i, depth); i < 0 {
			return -1
		}
		if i = blanks(text, i); i == len(text) {
			return -1
		}
		switch text[i] {
		case ']':
			return i + 1
		case ',':
			i = blanks(text, i+1)
		default:
			return -1
		}
	}
}

// quoted is a string.
func quoted(text []byte, i int) int {
	for i++; i < len(text); i++ {
		for i+8 <= len(text) && plain(binary.LittleEndian.Uint64(text[i:])) {
			i += 8
		}
		if i == len(text) {
			return -1
		}
		switch c := text[i]; {
		case c == '"':
			return i + 1
		case c < ' ':
			return -1
		case c == '\\':
			if i = escaped(text, i+1); i < 0 {
				return -1
			}
		}
	}
	return -1
}

// plain reports whether each of eight bytes stands for itself in a string: none is
// a quote, a backslash or a control character. It may say no of what is beyond
// ASCII, which is then looked at byte by byte.
func plain(eight uint64) bool {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	quote, slash := eight^('"'*ones), eight^('\\'*ones)
	return ((eight-' '*ones)|(quote-ones)|(slash-ones)|eight)&high == 0
}

// escaped returns the index of the last byte of an escape that begins, behind the
// backslash, at i; or -1.
func escaped(text []byte, i int) int {
	if i == len(text) {
		return -1
	}
	switch text[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i
	case 'u':
		for range 4 {
			if i++; i == len(text) || !hexadecimal(text[i]) {
				return -1
			}
		}
		return i
	}
	return -1
}

func hexadecimal(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// number is a number.
func number(text []byte, i int) int {
	if i < len(text) && text[i] == '-' {
		i++
	}
	if i < len(text) && text[i] == '0' {
		i++
	} else if i = digits(text, i); i < 0 {
		return -1
	}
	if i < len(text) && text[i] == '.' {
		if i = digits(text, i+1); i < 0 {
			return -1
		}
	}
	if i < len(text) && (text[i] == 'e' || text[i] == 'E') {
		if i++; i < len(text) && (text[i] == '+' || text[i] == '-') {
			i++
		}
		return digits(text, i)
	}
	return i
}

// digits are one or more.
func digits(text []byte, i int) int {
	begin := i
	for i < len(text) && '0' <= text[i] && text[i] <= '9' {
		i++
	}
	if i == begin {
		return -1
	}
	return i
}

func word(text []byte, i int, want string) int {
	if end := i + len(want); end <= len(text) && string(text[i:end]) == want {
		return end
	}
	return -1
}

// blanks returns the index of the first byte from i on that is none.
func blanks(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\n' || text[i] == '\t' || text[i] == '\r') {
		i++
	}
	return i
}

// unquote returns what a string, with its quotes, stands for: a part of the text
// where that says it as it is.
func unquote(text []byte) []byte {
	for _, c := range text {
		if c == '\\' || c >= 0x80 { // encoding/json replaces what is no UTF-8
			var s string
			_ = json.Unmarshal(text, &s) // it is a string
			return []byte(s)
		}
	}
	return text[1 : len(text)-1]
}
