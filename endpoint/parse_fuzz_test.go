package endpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gitlab.com/rackn/provision/v4/models"
)

// fuzzServer is a server with a few objects that does not serve.
func fuzzServer(f *testing.F, compat string) *Server {
	f.Helper()
	s, err := New(Config{Listen: "127.0.0.1:0", Compat: compat})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.listener.Close() })
	err = s.store.update("user:fuzz", func(t *tx) error {
		number := &models.Param{Name: "fuzz/number", Schema: map[string]any{"type": "number", "default": 3}}
		m := newMachineNamed("m1")
		m.SetParams(map[string]any{"fuzz/number": 2, "list": []any{"a", "b"}})
		for _, o := range []models.Model{number, m, newMachineNamed("m2"), &models.Profile{Name: "p.1"}} {
			if err := t.put(o); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		f.Fatal(err)
	}
	return s
}

// FuzzObject stores objects of several types: what is accepted is stored whole
// and can be read again.
func FuzzObject(f *testing.F) {
	s := fuzzServer(f, "")
	for _, ot := range objectTypes {
		prefix := ot.prefix
		f.Add(prefix, `{"Name":"some","ID":"some","Params":{"fuzz/number":1},"Profiles":["p.1"],"Meta":{"a":"b"}}`)
		f.Add(prefix, `{"Name":"some","Schema":{"type":"object","default":{}},"Templates":[{"Name":"t","Contents":"{{.X}}"}],"params":3}`)
		f.Add(prefix, `{"Uuid":"11111111-2222-4333-8444-555555555555","Name":"m1","Address":"1.2.3.4","Profiles":null,"Params":null}`)
	}
	f.Fuzz(func(t *testing.T, prefix, text string) {
		if !isObject(prefix) {
			return
		}
		body, err := parseBody([]byte(text))
		if err != nil || body == nil {
			return
		}
		err = s.store.update("user:fuzz", func(tx *tx) error {
			rec, err := tx.putRaw(prefix, body)
			if err != nil {
				if _, ok := err.(*models.Error); !ok {
					t.Errorf("refused with %v", err)
				}
				return err
			}
			if !json.Valid(rec.raw) || !json.Valid(rec.shown) {
				t.Errorf("stored %s", rec.raw)
			}
			if m := rec.model(); m.Key() != rec.key {
				t.Errorf("read again as %s, not %s", m.Key(), rec.key)
			}
			if again, err := tx.putRaw(prefix, rec.raw); err != nil || again.key != rec.key {
				t.Errorf("stored again: %v", err)
			}
			return errors.New("nothing is kept")
		})
		if err == nil {
			t.Error("was kept")
		}
	})
}

// FuzzFilter reads list queries.
func FuzzFilter(f *testing.F) {
	servers := []*Server{fuzzServer(f, ""), fuzzServer(f, "3.13")}
	for _, seed := range []string{
		"Name=Eq(m1)", "Name=m1&sort=Name&reverse=true", "Name=Between(a,z)", "Name=Except(a,z)", "Name=In(m1,m2)&limit=1", "Name=Nin(m1)",
		"Runnable=true", "Runnable=Eq(maybe)", "CurrentTask=Lt(5)", "fuzz/number=Gt(1)", "Params.list=Eq(a,b)", "Meta.x=y", "Name=Re(^m)", "Name=Re(()",
		"Name=Eq(x", "Name=Eq(a)&Name=Eq(b)", "slim=Meta,Params&params=a,b&aggregate", "limit=-1&offset=99999999999999999999", "sort=Nothing", "token=x&Token=y",
		"Name=Re(x{1000}x{1000}x{1000}x{1000}x{1000}x{1000}x{1000}x{1000}x{1000})", "a;b=c", "%zz=1", "Profiles=Eq()", "HardwareAddrs=",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		q, _ := url.ParseQuery(query)
		for _, s := range servers {
			_ = s.store.view(func(tx *tx) error {
				o, err := s.parseList(tx, "machines", q)
				if err == nil {
					var out bytes.Buffer
					if o.write(tx, &principal{}, &out, o.choose(tx, tx.records("machines"))) == nil && !json.Valid(out.Bytes()) {
						t.Errorf("list is %s", out.Bytes())
					}
				} else if _, ok := err.(*models.Error); !ok {
					t.Errorf("refused with %v", err)
				}
				return nil
			})
		}
	})
}

// FuzzEventSpec registers for events and matches them.
func FuzzEventSpec(f *testing.F) {
	for _, spec := range []string{
		"*.*.*", "profiles.update,save,delete.a\\1b", "a.b", "a.b.c.", `a.b.c.Name=Eq("x")`, `a.b.c.Eq(1)`, `*.*.*.And(A=Eq(1),Or(B=Ne({"x":1}),Not(C=Exists())))`,
		`*.*.*.A=Re("^(a|b)*$")`, `*.*.*.A.B=In("a",b,1)`, `*.*.*./A/0=Nin(1)`, `*.*.*.A=Changed(1,)`, `*.*.*.Original.A=Changed("x","y")`, `*.*.*.event.Key=Eq(k)`,
		`*.*.*.A=Eq({"a":})`, `*.*.*.A=Eq("`, `*.*.*.=Eq(1)`, `*.*.*./=Eq(1)`, `*.*.*.A=In()`, `*.*.*.All()`, "\\.\\.\\", "*.*.*." + strings.Repeat("Not(", 300),
		`*.*.*.A=Re("x{1000}")`, `*.*.*.A=Re(1)`, `*.*.*.A=Re("(")`,
	} {
		f.Add(spec, `{"A":1,"B":{"x":[1]},"C":null}`, `{"A":2}`)
		f.Add(spec, `"text"`, ``)
	}
	f.Fuzz(func(t *testing.T, text, object, original string) {
		e := event{Time: time.Unix(0, 0), Type: "profiles", Action: "update", Key: "a.b"}
		e.Object, _ = parseBody([]byte(object))
		e.Original, _ = parseBody([]byte(original))
		body, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		for _, compat313 := range []bool{false, true} {
			sp, err := parseSpec(text, compat313)
			if err != nil {
				continue
			}
			if strings.Count(text, ".") < 2 || compat313 && sp.filter != nil {
				t.Fatalf("%q became %+v", text, sp)
			}
			sp.names(&e)
			if sp.filter != nil {
				sp.filter.Holds(body)
			}
		}
	})
}

// FuzzToken holds tokens to it that only what was sealed opens, and as it was.
func FuzzToken(f *testing.F) {
	s := fuzzServer(f, "")
	good, err := s.UserToken(DefaultUser, time.Hour)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, "user", "secret", int64(1), uint(3), byte(1))
	f.Add("", "", "", int64(0), uint(0), byte(0))
	f.Add(good[:20], "a\x00b", "\xff", int64(-1), uint(1<<20), byte(255))
	f.Add("====", "x", "y", int64(1)<<62, uint(7), byte('\n'))
	f.Fuzz(func(t *testing.T, foreign, user, secret string, expires int64, at uint, with byte) {
		if g, ok := s.tokens.open(foreign); ok && foreign != good {
			t.Fatalf("%q opens as %+v", foreign, g)
		}
		user, secret = strings.ToValidUTF8(user, "?"), strings.ToValidUTF8(secret, "?")
		want := grant{User: user, Secret: secret, Claims: []claim{{user, secret, "*"}}, Expires: expires}
		token, err := s.tokens.seal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := s.tokens.open(token)
		if ok != (expires >= time.Now().Unix()) {
			t.Fatalf("expires %d: opens %v", expires, ok)
		}
		if got.User != want.User || got.Secret != want.Secret || got.Claims[0] != want.Claims[0] || got.Expires != expires {
			t.Fatalf("%+v became %+v", want, got)
		}
		raw := []byte(token)
		at %= uint(len(raw))
		if old := raw[at]; old != with {
			raw[at] = with
			if _, ok := s.tokens.open(string(raw)); ok {
				t.Fatalf("%q opens with %q for %q at %d", token, with, old, at)
			}
		}
		longer := token[:at] + string(rune(with)) + token[at:]
		if _, ok := s.tokens.open(longer); ok {
			t.Fatalf("%q opens", longer)
		}
	})
}

// FuzzTimes reads the durations that clients ask for.
func FuzzTimes(f *testing.F) {
	servers := []*Server{fuzzServer(f, ""), fuzzServer(f, "3.13")}
	for _, seed := range []string{"", "0", "-1", "60", "1h", "3y", "10m", "h", " 5 ", "1e9", "9999999999999999999", "99999999y", "1.5h", "wait=5, wait=6", "+5", "0x10"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, v string) {
		for _, s := range servers {
			life, err := s.tokenLife(v)
			if most := 101 * 365 * 24 * time.Hour; err == nil && (life > most || life < -most) {
				t.Errorf("%q lives %v", v, life)
			}
		}
		for _, header := range []string{v, "wait=" + v, "x, wait=" + v} {
			if wait, err := preferredWait(http.Header{"Prefer": {header}}); err == nil && (wait < 0 || wait > maxWait) {
				t.Errorf("%q waits %v", header, wait)
			}
		}
	})
}
