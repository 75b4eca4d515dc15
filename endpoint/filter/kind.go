package filter

import (
	"bytes"
	"errors"
	"math"
	"net"
	"strconv"
	"time"

	puuid "github.com/pborman/uuid"

	"muster/endpoint/rawjson"
)

// canonical returns the text of a filter as values of the kind are written, or an
// error that says what was expected.
func (k Kind) canonical(arg string) (string, error) {
	switch k {
	case Boolean:
		if b, err := strconv.ParseBool(arg); err == nil {
			return strconv.FormatBool(b), nil
		}
		return "", errors.New("expected true or false")
	case Number:
		// JSON has neither infinities nor what is no number.
		if f, err := strconv.ParseFloat(arg, 64); err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
			return arg, nil
		}
		return "", errors.New("expected a number")
	case UUID:
		if arg == "" {
			return "", nil
		}
		if id := puuid.Parse(arg); id != nil {
			return id.String(), nil
		}
		return "", errors.New("expected a UUID, or nothing")
	case IP:
		if arg == "" {
			return "", nil
		}
		if ip := net.ParseIP(arg); ip != nil {
			return ip.String(), nil
		}
		return "", errors.New("expected an IP address, or nothing")
	case Time:
		if t, ok := parseTime(arg); ok {
			return t.Format(time.RFC3339Nano), nil
		}
		return "", errors.New("expected a time such as 2006-01-02T15:04:05Z, or a date")
	}
	return arg, nil
}

func parseTime(text string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t, err = time.Parse(time.DateOnly, text)
	}
	return t, err == nil
}

// compare compares a JSON value with the canonical text of a filter; ok is false if
// the text cannot be a value of the same type.
func (k Kind) compare(value []byte, arg string) (n int, ok bool) {
	switch k {
	case IP: // 10.0.0.9 is before 10.0.0.10, and what has no address before both
		a, b := net.ParseIP(rawjson.Unquote(value)), net.ParseIP(arg)
		return bytes.Compare(a.To16(), b.To16()), true
	case Time:
		a, ok1 := parseTime(rawjson.Unquote(value))
		b, ok2 := parseTime(arg)
		return a.Compare(b), ok1 && ok2
	}
	return compareText(value, arg)
}
