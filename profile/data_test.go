package profile_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"muster/profile"
	"muster/profile/memory"
)

const site = "site/value"

// paste sets a param, or takes it away, as somebody does who is not of Muster.
func (w *world) paste(key, value string) {
	w.t.Helper()
	c := &profile.Change{}
	if c.Set(profile.At(key), json.RawMessage(value)); value == "" {
		c = &profile.Change{}
		c.Remove(profile.At(key))
	}
	way := w.Store(nil)
	if _, err := way.Apply(w.t.Context(), c); err != nil {
		w.t.Fatal(err)
	}
	way.Settle()
}

// edits are all kinds of writers.
func (w *world) edits(h *host) map[string]func(profile.Edit) error {
	return map[string]func(profile.Edit) error{
		"member": func(e profile.Edit) error {
			if err := h.view.Refresh(w.t.Context(), h.store, e.Key); err != nil {
				return err
			}
			_, err := h.Write(w.t.Context(), e.Plan)
			return err
		},
		"operator": func(e profile.Edit) error {
			o, _ := w.operator()
			_, err := o.Write(w.t.Context(), e.Plan)
			return err
		},
	}
}

func TestAnEditLandsOnlyOnWhatItAsksFor(t *testing.T) {
	one, other := json.RawMessage("1"), json.RawMessage("2")
	const sealed = `{"Key":"a","Nonce":"b","Payload":"c"}`
	for name, try := range map[string]struct {
		before string
		edit   profile.Edit
		want   error
		after  string
	}{
		"set":                       {"", profile.Edit{Value: one}, nil, "1"},
		"set of another":            {`{"a":[]}`, profile.Edit{Value: one}, nil, "1"},
		"set of null":               {"null", profile.Edit{Value: one}, nil, "1"},
		"ref":                       {`{"b": 2.0, "a":[1]}`, profile.Edit{Value: one, Ref: json.RawMessage(`{"a":[1],"b":2}`)}, nil, "1"},
		"ref of another":            {`{"a":[1],"b":2}`, profile.Edit{Value: one, Ref: json.RawMessage(`{"a":[1],"b":"2"}`)}, profile.ErrLost, `{"a":[1],"b":2}`},
		"ref of nothing":            {"", profile.Edit{Value: one, Ref: other}, profile.ErrLost, ""},
		"ref of null":               {"null", profile.Edit{Value: one, Ref: other}, profile.ErrLost, "null"},
		"ref of what is sealed":     {sealed, profile.Edit{Value: one, Ref: json.RawMessage(sealed)}, profile.ErrInvalid, sealed},
		"clear over sealed":         {sealed, profile.Edit{Value: one}, profile.ErrInvalid, sealed},
		"add":                       {"", profile.Edit{Value: one, New: true}, nil, "1"},
		"add over null":             {"null", profile.Edit{Value: one, New: true}, nil, "1"},
		"add over another":          {"2", profile.Edit{Value: one, New: true}, profile.ErrLost, "2"},
		"add over the same":         {"1", profile.Edit{Value: one, New: true}, profile.ErrLost, "1"},
		"unset":                     {"1", profile.Edit{}, nil, ""},
		"unset of null":             {"null", profile.Edit{}, nil, ""},
		"unset of nothing":          {"", profile.Edit{}, nil, ""},
		"unset by ref":              {"1", profile.Edit{Ref: one}, nil, ""},
		"unset by ref of another":   {"1", profile.Edit{Ref: other}, profile.ErrLost, "1"},
		"unset by ref of nothing":   {"", profile.Edit{Ref: other}, profile.ErrLost, ""},
		"under a tenure that is no": {"1", profile.Edit{Value: other, Tenure: &profile.Tenure{Role: "leader", Slot: "1", Instance: "i9", Epoch: 1}}, profile.ErrLost, "1"},
	} {
		for _, by := range []string{"member", "operator"} {
			t.Run(name+" by "+by, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := seeded(t, two())
					h := w.joined("u1")
					w.paste("site/other", `1.50`)
					if try.before != "" {
						w.paste(site, try.before)
					}
					try.edit.Key = site
					if err := w.edits(h)[by](try.edit); !errors.Is(err, try.want) {
						t.Errorf("got %v, want %v", err, try.want)
					}
					if got := string(w.Document().Params[site]); got != try.after && !(try.after != "" && sameText(got, try.after)) {
						t.Errorf("the param is %q, want %q", got, try.after)
					}
					if got := string(w.Document().Params["site/other"]); got != "1.50" {
						t.Errorf("another param is %q", got)
					}
				})
			})
		}
	}
}

// sameText compares JSON but for blanks and the order of names.
func sameText(a, b string) bool {
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return string(p) == string(q)
}

func (w *world) joined(uuid string) *host {
	w.t.Helper()
	h := w.host(uuid)
	if _, err := h.Join(w.t.Context(), profile.Joining{Name: uuid}); err != nil {
		w.t.Fatal(err)
	}
	return h
}

// crowd are many members of one cluster.
func (w *world) crowd(n int) []*host {
	w.t.Helper()
	var all []*host
	for i := range n {
		all = append(all, w.joined(fmt.Sprintf("u%02d", i)))
	}
	return all
}

func crowded(n int) profile.Seed {
	s := profile.Seed{Leaders: 1}
	for i := range n {
		s.Members = append(s.Members, fmt.Sprintf("u%02d", i))
	}
	return s
}

// slow has every call of the members take a moment, so that they meet.
func slow(all []*host) {
	for i, h := range all {
		h.faults = func(memory.Call) memory.Fault { return memory.Fault{Delay: time.Duration(1+i%5) * time.Millisecond} }
	}
}

func TestOfFiftyMembersThatAddOneParamOneWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, crowded(50))
		all := w.crowd(50)
		slow(all)
		var won atomic.Int32
		together(all, func(i int, h *host) {
			err := w.edits(h)["member"](profile.Edit{Key: site, New: true, Value: json.RawMessage(strconv.Itoa(i))})
			switch {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, profile.ErrLost):
				t.Errorf("%s: %v", h.uuid, err)
			}
		})
		if won.Load() != 1 {
			t.Errorf("%d have won", won.Load())
		}
	})
}

func TestFiftyMembersThatAddAParamEachAllSucceed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, crowded(50))
		all := w.crowd(50)
		slow(all)
		begun := time.Now()
		together(all, func(_ int, h *host) {
			if err := w.edits(h)["member"](profile.Edit{Key: "site/" + h.uuid, New: true, Value: json.RawMessage("1")}); err != nil {
				t.Errorf("%s: %v", h.uuid, err)
			}
		})
		applies, most := 0, 0
		for _, h := range all {
			if _, there := w.Document().Params["site/"+h.uuid]; !there {
				t.Errorf("the param of %s is not there", h.uuid)
			}
			applies, most = applies+h.calls["Apply"]-1, max(most, h.calls["Apply"]-1) // but the join
		}
		t.Logf("50 params added in %s by %d patches, at most %d of a member", time.Since(begun), applies, most)
	})
}

// Somebody in DRP's portal adds a param and takes it away again, 20 times a second.
func TestAddsComeThroughBesideAForeignWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, crowded(20))
		all := w.crowd(20)
		slow(all)
		over, foreign := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(foreign)
			for i := 0; ; i++ {
				select {
				case <-over:
					return
				case <-time.After(25 * time.Millisecond):
				}
				w.paste("site/theirs", strconv.Itoa(i))
				time.Sleep(25 * time.Millisecond)
				w.paste("site/theirs", "")
			}
		}()
		together(all, func(_ int, h *host) {
			if err := w.edits(h)["member"](profile.Edit{Key: "site/" + h.uuid, New: true, Value: json.RawMessage("1")}); err != nil {
				t.Errorf("%s: %v", h.uuid, err)
			}
		})
		close(over)
		<-foreign
	})
}

func TestNoIncrementByReferenceIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const each = 5
		w := seeded(t, crowded(16))
		w.paste(site, "0")
		all := w.crowd(16)
		slow(all)
		together(all, func(_ int, h *host) {
			for done := 0; done < each; {
				raw, err := profile.Get(t.Context(), h.store, site, false)
				if err != nil {
					t.Error(err)
					return
				}
				n, _ := strconv.Atoi(string(raw))
				err = w.edits(h)["member"](profile.Edit{Key: site, Ref: raw, Value: json.RawMessage(strconv.Itoa(n + 1))})
				switch {
				case err == nil:
					done++
				case !errors.Is(err, profile.ErrLost):
					t.Error(err)
					return
				}
			}
		})
		if got := string(w.Document().Params[site]); got != strconv.Itoa(16*each) {
			t.Errorf("the counter is %s, want %d", got, 16*each)
		}
	})
}

// together has all do something at once, until all are done and nothing is on
// its way any more.
func together(all []*host, do func(int, *host)) {
	done := make(chan struct{})
	for i, h := range all {
		go func() {
			do(i, h)
			done <- struct{}{}
		}()
	}
	for range all {
		<-done
	}
	for _, h := range all {
		for _, way := range h.ways {
			way.Settle()
		}
	}
}

func TestAParamThatComesBetweenDecisionAndAddIsNotOverwritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, two())
		change, err := profile.Edit{Key: site, New: true, Value: json.RawMessage("1")}.Plan(w.Document())
		if err != nil {
			t.Fatal(err)
		}
		w.paste(profile.ParamJoins, "7") // what others hold makes no difference
		w.paste(site, "2")
		way := w.Store(nil)
		defer way.Settle()
		if _, err := way.Apply(t.Context(), change); !errors.Is(err, profile.ErrConflict) {
			t.Errorf("got %v, want %v", err, profile.ErrConflict)
		}
		w.paste(site, "")
		if _, err := way.Apply(t.Context(), change); err != nil {
			t.Errorf("once the param is away again: %v", err)
		}
	})
}

// An increment whose answer is lost is made once, by a member; an operator who
// then finds another's is told that it does not know.
func TestALostAnswerOfAnEditIsNotTakenForALostRace(t *testing.T) {
	increment := profile.Edit{Key: site, Ref: json.RawMessage("1"), Value: json.RawMessage("2")}
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, two())
		w.paste(site, "1")
		h := w.joined("u1")
		h.faulty(memory.Fault{LoseReply: true})
		other := time.AfterFunc(memory.Timeout/2, func() { w.paste(site, "3") })
		defer other.Stop()
		if err := w.edits(h)["member"](increment); err != nil {
			t.Errorf("member: %v", err)
		}
		if got := string(w.Document().Params[site]); got != "3" {
			t.Errorf("the param is %s", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, two())
		w.paste(site, "1")
		o, way := w.operator(memory.Fault{LoseReply: true})
		defer way.Settle()
		other := time.AfterFunc(memory.Timeout/2, func() {
			o, way := w.operator()
			defer way.Settle()
			o.Write(context.Background(), profile.Edit{Key: site, Value: json.RawMessage("3")}.Plan)
		})
		defer other.Stop()
		if _, err := o.Write(t.Context(), increment.Plan); !errors.Is(err, profile.ErrUnknownOutcome) {
			t.Errorf("operator: got %v, want %v", err, profile.ErrUnknownOutcome)
		}
	})
}

func TestWhatMakesNoSenseToShareIsRefusedAndNotRepeated(t *testing.T) {
	for name, e := range map[string]profile.Edit{
		"no key":               {Key: "", Value: json.RawMessage("1")},
		"one letter":           {Key: "a", Value: json.RawMessage("1")},
		"two keys":             {Key: "site/a,site/b", Value: json.RawMessage("1")},
		"a way up":             {Key: "site/../muster/round", Value: json.RawMessage("1")},
		"a blank end":          {Key: "site/a ", Value: json.RawMessage("1")},
		"Muster's":             {Key: profile.ParamSlots, Value: json.RawMessage("{}")},
		"a future one's":       {Key: "muster/new", Value: json.RawMessage("1")},
		"unset of Muster's":    {Key: profile.ParamEscape},
		"Muster's in DRP":      {Key: profile.ParamLeaders, Value: json.RawMessage("[]")},
		"null":                 {Key: site, Value: json.RawMessage(" null ")},
		"nothing":              {Key: site, Value: json.RawMessage("")},
		"no JSON":              {Key: site, Value: json.RawMessage("{secret")},
		"two values":           {Key: site, Value: json.RawMessage("1 2")},
		"a huge number":        {Key: site, Value: json.RawMessage(`{"secret":1e400}`)},
		"a tiny number":        {Key: site, Value: json.RawMessage(`1e-400`)},
		"a long integer":       {Key: site, Value: json.RawMessage(`[12345678901234567890]`)},
		"a monstrous exponent": {Key: site, Value: json.RawMessage(`1e99999999999999999999`)},
		"too deep":             {Key: site, Value: json.RawMessage(strings.Repeat("[", 101) + strings.Repeat("]", 101))},
		"far too deep":         {Key: site, Value: json.RawMessage(strings.Repeat("[", 16000) + strings.Repeat("]", 16000))},
		"too long":             {Key: site, Value: json.RawMessage(`"` + strings.Repeat("secret", 6000) + `"`)},
		"too long when sent":   {Key: site, Value: json.RawMessage(`"` + strings.Repeat("<", 6000) + `"`)},
		"no UTF-8":             {Key: site, Value: json.RawMessage("\"secret\xff\"")},
		"null as reference":    {Key: site, Value: json.RawMessage("1"), Ref: json.RawMessage("null")},
		"add with a reference": {Key: site, Value: json.RawMessage("1"), Ref: json.RawMessage("2"), New: true},
		"add of nothing":       {Key: site, New: true},
	} {
		if err := e.Check(); !errors.Is(err, profile.ErrInvalid) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, want %v that does not repeat the value", name, err, profile.ErrInvalid)
		}
	}
	for _, value := range []string{`0`, `-0`, `1.10`, `0.1`, `1e21`, `100`, `1.5e300`, `9007199254740992`, `"a\u0000b"`, `""`, `"{"`, `[]`, strings.Repeat("[", 100) + strings.Repeat("]", 100)} {
		if err := (profile.Edit{Key: "größe/2 a", Value: json.RawMessage(value)}).Check(); err != nil {
			t.Errorf("%.20s: %v", value, err)
		}
	}
}

func TestReferencesAreComparedAsValues(t *testing.T) {
	for _, try := range []struct {
		a, b string
		same bool
	}{
		{`1`, `1.0`, true}, {`10`, `1e1`, true}, {`100`, `1E+2`, true}, {`0.5`, `5e-1`, true}, {`-0`, `0`, true}, {`-1`, `1`, false},
		{`12`, `120`, false}, {`1`, `"1"`, false}, {`9007199254740993`, `9007199254740992`, false}, {`true`, `true`, true}, {`[1,2]`, `[2,1]`, false},
		{`{"a":1,"b":[]}`, ` { "b" : [ ] , "a" : 1.0 } `, true}, {`{"a":1}`, `{"a":1,"b":1}`, false}, {`{"a":1}`, `{"b":1}`, false},
		{`"\u00fc"`, `"ü"`, true}, {`""`, `" "`, false}, {`[]`, `{}`, false}, {`false`, `0`, false}, {`""`, `false`, false},
	} {
		d := &profile.Document{Params: profile.Params{site: json.RawMessage(try.a)}}
		_, err := profile.Edit{Key: site, Ref: json.RawMessage(try.b)}.Plan(d)
		if same := !errors.Is(err, profile.ErrLost); same != try.same {
			t.Errorf("%s and %s: same %v, want %v (%v)", try.a, try.b, same, try.same, err)
		}
	}
}
