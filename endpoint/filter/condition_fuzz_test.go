package filter

import (
	"testing"

	"muster/endpoint/rawjson"
)

// FuzzCondition reads conditions, whose complements must be complements.
func FuzzCondition(f *testing.F) {
	for _, seed := range []string{
		"m1", "Eq(m1)", "Between(a,z)", "Except(a,z)", "In(m1,m2)", "Nin(m1)", "true", "Eq(maybe)", "Lt(5)", "Gt(1)", "Eq(a,b)", "Re(^m)", "Re(()",
		"Eq(x", "Re(x{1000}x{1000}x{1000}x{1000}x{1000}x{1000}x{1000}x{1000}x{1000})", "Eq()", "Between(1,5)", "10.0.0.9", "2026-01-02", "In(,6BA7B810-9DAD-11D1-80B4-00C04FD430C8)", "In(true,x)", "1e5", "",
	} {
		for _, value := range []string{`"m1"`, `2.5`, `[true,"x",null,{}]`, `{"a":1}`, `null`, `false`, ``, `"10.0.0.10"`, `"2026-01-02T03:04:05.6Z"`, `""`} {
			f.Add(seed, value)
		}
	}
	f.Fuzz(func(t *testing.T, value, jsonText string) {
		have, err := rawjson.Parse([]byte(jsonText))
		if err != nil {
			return
		}
		for _, k := range []Kind{Text, Number, Boolean, UUID, IP, Time, Any} {
			if c, err := Parse(k, value); err == nil {
				c.Holds(have)
			}
			for op, complement := range map[string]string{"Eq": "Ne", "In": "Nin", "Between": "Except"} {
				a, err1 := Parse(k, op+"("+value+")")
				b, err2 := Parse(k, complement+"("+value+")")
				if (err1 == nil) != (err2 == nil) || err1 == nil && a.Holds(have) == b.Holds(have) {
					t.Errorf("%s and %s of %q agree on %s", op, complement, value, have)
				}
			}
		}
	})
}
