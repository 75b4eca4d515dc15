package filter

import (
	"cmp"
	"strconv"
	"strings"

	"gitlab.com/rackn/jp"

	"muster/endpoint/rawjson"
)

// compareText compares a JSON value with the text of a filter; ok is false if
// the text cannot be a value of the same type.
func compareText(value []byte, arg string) (n int, ok bool) {
	switch value[0] {
	case '"':
		return strings.Compare(rawjson.Unquote(value), arg), true
	case 't', 'f':
		b, err := strconv.ParseBool(arg)
		return Compare(value, strconv.AppendBool(nil, b)), err == nil
	case '{', '[', 'n':
		if jp.Equal(value, []byte(arg)) {
			return 0, true
		}
		return 0, false
	}
	_, err := strconv.ParseFloat(arg, 64)
	return compareNumbers(string(value), arg), err == nil
}

// Compare orders JSON values: what is absent first, then by type and value.
func Compare(a, b []byte) int {
	switch {
	case len(a) == 0 || len(b) == 0:
		return len(a) - len(b)
	case isNumber(a) && isNumber(b):
		return compareNumbers(string(a), string(b))
	case a[0] == '"' && b[0] == '"':
		return strings.Compare(rawjson.Unquote(a), rawjson.Unquote(b))
	}
	return strings.Compare(string(a), string(b))
}

func isNumber(v []byte) bool { return v[0] == '-' || v[0] >= '0' && v[0] <= '9' }

// compareNumbers compares integers exactly and other numbers as floats.
func compareNumbers(a, b string) int {
	i, err1 := strconv.ParseInt(a, 10, 64)
	j, err2 := strconv.ParseInt(b, 10, 64)
	if err1 == nil && err2 == nil {
		return cmp.Compare(i, j)
	}
	x, _ := strconv.ParseFloat(a, 64)
	y, _ := strconv.ParseFloat(b, 64)
	return cmp.Compare(x, y)
}
