package profile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MostValue is how many bytes of JSON one param of the cluster's own data may
// take. Every write answers with the whole profile and costs the endpoint in
// proportion to it (DESIGN, rule 8): it is for a join token, a certificate or a
// kubeconfig, and not for files.
const MostValue = 32 << 10

// deepest is how far a value may be nested. Readers give up somewhere, Go's at
// 10000, and then nobody can read the profile at all.
const deepest = 100

// checkValue refuses what does not survive the way to the profile and back. Its
// errors do not repeat the value.
func checkValue(raw json.RawMessage) error {
	switch {
	case len(raw) > MostValue:
		return tooLong(len(raw))
	case !utf8.Valid(raw):
		return errors.New("expected UTF-8; encode other bytes, as with base64")
	case isNull(raw):
		return errors.New("expected a value other than null, which reads as if the param was not set; `muster unset` takes it away")
	}
	if err := walk(raw); err != nil {
		return err
	}
	sent, err := json.Marshal(raw) // DRP escapes <, > and &, too
	if err != nil {
		return errNoJSON
	}
	if len(sent) > MostValue {
		return tooLong(len(sent))
	}
	return nil
}

func tooLong(n int) error {
	return fmt.Errorf("expected at most %d bytes of JSON, found %d; every member gets the whole profile again and again: keep files elsewhere, and here where they are", MostValue, n)
}

var errNoJSON = errors.New("expected JSON, found none")

// walk looks at the depth and at the numbers of raw.
func walk(raw json.RawMessage) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	for depth := 0; ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return errNoJSON
		}
		switch token := token.(type) {
		case json.Delim:
			if token == '{' || token == '[' {
				depth++
			} else {
				depth--
			}
			if depth > deepest {
				return fmt.Errorf("expected at most %d levels, found more", deepest)
			}
		case json.Number:
			if err := survives(token.String()); err != nil {
				return err
			}
		}
	}
}

// survives refuses a number that an endpoint changes: DRP keeps numbers as
// float64 (wire contract, section 4).
func survives(number string) error {
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || decimal(strconv.FormatFloat(f, 'e', -1, 64)) != decimal(number) {
		return errors.New("expected numbers that a float64 can hold, found one that becomes another; write it as a string")
	}
	return nil
}

// decimal writes a JSON number in the one way that all of the same value share:
// its digits without zeros at the ends, and the exponent of the last.
func decimal(number string) string {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(number), "e")
	sign := ""
	if rest, negative := strings.CutPrefix(mantissa, "-"); negative {
		sign, mantissa = "-", rest
	}
	exp := 0
	if exponent != "" {
		var err error
		if exp, err = strconv.Atoi(exponent); err != nil {
			return number // a number of which nobody has another way of writing
		}
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	kept := strings.TrimRight(digits, "0")
	if kept == "" {
		return "0"
	}
	return sign + kept + "e" + strconv.Itoa(exp-len(fraction)+len(digits)-len(kept))
}

// ParseValue is what a word of the command line means as a value: JSON, or else
// a string.
func ParseValue(word string) json.RawMessage {
	if json.Valid([]byte(word)) {
		return json.RawMessage(word)
	}
	raw, _ := json.Marshal(word) // a string always is
	return raw
}

// SameJSON compares values: the order of names, blanks, and how a number is
// written make no difference. What is no JSON equals nothing.
func SameJSON(a, b json.RawMessage) bool {
	x, errx := exactly(a)
	y, erry := exactly(b)
	return errx == nil && erry == nil && equal(x, y)
}

// exactly decodes one value, with numbers as they are written.
func exactly(raw json.RawMessage) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

func equal(x, y any) bool {
	switch x := x.(type) {
	case json.Number:
		y, ok := y.(json.Number)
		return ok && decimal(x.String()) == decimal(y.String())
	case []any:
		y, ok := y.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !equal(x[i], y[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		y, ok := y.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for name, v := range x {
			if w, ok := y[name]; !ok || !equal(v, w) {
				return false
			}
		}
		return true
	}
	return x == y
}

// isSealed reports whether a value has the shape of a secure one (wire contract,
// section 9).
func isSealed(raw json.RawMessage) bool {
	var fields map[string]json.RawMessage
	if len(raw) == 0 || json.Unmarshal(raw, &fields) != nil {
		return false
	}
	return fields["LookupUri"] != nil || fields["Key"] != nil && fields["Nonce"] != nil && fields["Payload"] != nil
}

func isNull(raw json.RawMessage) bool { return string(bytes.TrimSpace(raw)) == "null" }

// shown is a value for people, unless it is a sealed one.
func shown(raw json.RawMessage) string {
	if isSealed(raw) {
		return "a sealed value"
	}
	return clip(raw)
}
