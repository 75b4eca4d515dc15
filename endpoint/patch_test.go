package endpoint_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gitlab.com/rackn/jp"

	"muster/endpoint"
)

// DRP's own client swaps a planted value, guarded by what it was.
func TestGuardedSwapHasOneWinner(t *testing.T) {
	const writers, rounds = 16, 100
	for _, way := range []struct {
		name, pointer string
		url           []string
	}{
		{"object", "/Params/cas", []string{"profiles", "c1"}},
		{"params", "/cas", []string{"profiles", "c1", "params"}},
	} {
		t.Run(way.name, func(t *testing.T) {
			s := start(t, "")
			plant(asAdmin(t, s))
			c := admin(t, s)
			swap := func(from, to int) error {
				p := &jp.Patcher{}
				p.Test(jp.Ptr(way.pointer), from)
				p.Replace(jp.Ptr(way.pointer), to)
				patch, err := p.Patch()
				if err != nil {
					return err
				}
				return c.Req().Context(t.Context()).Patch(patch).UrlFor(way.url...).Do(&map[string]any{})
			}
			for round := range rounds {
				var won, lost atomic.Int32
				var wg sync.WaitGroup
				for range writers {
					wg.Go(func() {
						switch err := swap(round, round+1); status(err) {
						case 0:
							won.Add(1)
						case 409:
							lost.Add(1)
						default:
							t.Errorf("round %d: %v", round, err)
						}
					})
				}
				wg.Wait()
				if won.Load() != 1 || lost.Load() != writers-1 {
					t.Fatalf("round %d: %d winners and %d losers", round, won.Load(), lost.Load())
				}
			}
			if got := asAdmin(t, s).must("GET", "/profiles/c1/params/cas", "").body; got != fmt.Sprint(rounds) {
				t.Errorf("value is %s after %d rounds", got, rounds)
			}
		})
	}
}

// On the /params URL of DRP 3.13 this race can have two winners.
func TestGuardedAddOfAnAbsentKeyHasOneWinner(t *testing.T) {
	s := start(t, "3.13")
	c := asAdmin(t, s)
	c.must("POST", "/profiles", `{"Name":"c1","Params":{}}`)
	for range 10 {
		var won atomic.Int32
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				body := fmt.Sprintf(`[{"op":"test","path":"","value":{}},{"op":"add","path":"/holder","value":%d}]`, i)
				if c.do("PATCH", "/profiles/c1/params", body).status == 200 {
					won.Add(1)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d winners", won.Load())
		}
		c.must("DELETE", "/profiles/c1/params/holder", "")
	}
}

func TestPatchOperations(t *testing.T) {
	c := asAdmin(t, start(t, ""))
	for _, row := range []struct{ before, patch, after string }{
		{`{"aa":1}`, `[]`, `{"aa":1}`},
		{`{"aa":1}`, ``, `{"aa":1}`},
		{`{"aa":1}`, `[{"op":"add","path":"/aa","value":2}]`, `{"aa":2}`},
		{`{"aa":1}`, `[{"op":"add","path":"/bb","value":null}]`, `{"aa":1,"bb":null}`},
		{`{"aa":1}`, `[{"op":"remove","path":"/aa"}]`, `{}`},
		{`{"aa":1}`, `[{"op":"move","from":"/aa","path":"/bb"}]`, `{"bb":1}`},
		{`{"aa":[1]}`, `[{"op":"copy","from":"/aa/0","path":"/aa/-"}]`, `{"aa":[1,1]}`},
		{`{"aa":{"x":1}}`, `[{"op":"test","path":"/aa","value":{"x":1}},{"op":"replace","path":"/aa/x","value":2}]`, `{"aa":{"x":2}}`},
		{`{"aa":1}`, `[{"op":"replace","path":"","value":{"bb":2}}]`, `{"bb":2}`},
		{`{"a/b":1}`, `[{"op":"replace","path":"/a~1b","value":12345678901234567890}]`, `{"a/b":12345678901234567890}`},
	} {
		c.must("POST", "/profiles", `{"Name":"pp","Params":`+row.before+`}`)
		if got := c.must("PATCH", "/profiles/pp/params", row.patch).body; got != row.after {
			t.Errorf("%s and %s make %s, want %s", row.before, row.patch, got, row.after)
		}
		c.must("DELETE", "/profiles/pp", "")
	}
}

func TestRefusedPatchesChangeNothing(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	plant(c)
	c.must("POST", "/params", `{"Name":"typed","Schema":{"type":"integer"}}`)
	before := c.must("GET", "/profiles/c1", "")
	many := "[" + strings.Repeat(`{"op":"test","path":"","value":{}},`, 5000) + `{"op":"test","path":"","value":{}}]`
	double := `{"op":"copy","from":"/Params","path":"/Params/%c%c"}`
	var bomb []string
	for i := range 40 {
		bomb = append(bomb, fmt.Sprintf(double, 'a'+i/26, 'a'+i%26))
	}
	for _, row := range []struct {
		name, patch      string
		onObject, params int
		message          string
	}{
		{"test", `[{"op":"add","path":"/Params/xx","value":1},{"op":"test","path":"/Params/cas","value":7}]`, 409, 0, "Patch error at line 1: Test op failed."},
		{"test of an absent key", `[{"op":"test","path":"/Params/nix","value":null}]`, 409, 0, "Path not found."},
		{"test in params", `[{"op":"test","path":"/cas","value":7}]`, 0, 409, "Patch failed to apply at line 0"},
		{"replace of an absent key", `[{"op":"replace","path":"/nix","value":7}]`, 409, 409, "Path not found."},
		{"remove of an absent key", `[{"op":"remove","path":"/nix"}]`, 409, 409, "Path not found."},
		{"array index", `[{"op":"add","path":"/arr","value":[]},{"op":"add","path":"/arr/99999999","value":1}]`, 409, 409, "line 1"},
		{"unknown op", `[{"op":"missing","path":"/nix"}]`, 409, 409, "Unknown op."},
		{"no value", `[{"op":"add","path":"/nix"}]`, 409, 409, "Op lacks"},
		{"pointer", `[{"op":"remove","path":"nix"}]`, 409, 409, "JSON pointer"},
		{"deep pointer", `[{"op":"remove","path":"` + strings.Repeat("/x", 100) + `"}]`, 409, 409, "JSON pointer"},
		{"no array", `{"op":"remove","path":"/nix"}`, 400, 400, "Not a JSON patch"},
		{"no JSON", `[`, 400, 400, "parse"},
		{"too many", many, 400, 400, "More than"},
		{"bomb", "[" + strings.Join(bomb, ",") + "]", 409, 0, "too "}, // much, or on a loaded host too long
		{"rename", `[{"op":"replace","path":"/Name","value":"c2"}]`, 400, 0, "Key change"},
		{"type", `[{"op":"replace","path":"/Profiles","value":7}]`, 406, 0, "does not fit"},
		{"params type", `[{"op":"replace","path":"/Params","value":7}]`, 406, 0, "does not fit"},
		{"params root", `[{"op":"replace","path":"","value":7}]`, 406, 409, ""},
		{"schema", `[{"op":"add","path":"/Params/typed","value":"x"}]`, 422, 0, "Param typed"},
		{"schema in params", `[{"op":"add","path":"/typed","value":"x"}]`, 0, 409, "Param typed"},
		{"param name", `[{"op":"add","path":"/Params/x","value":1}]`, 422, 0, "Invalid Param Name"},
		{"param name in params", `[{"op":"add","path":"/x","value":1}]`, 0, 409, "Invalid Param Name"},
	} {
		t.Run(row.name, func(t *testing.T) {
			for url, want := range map[string]int{"/profiles/c1": row.onObject, "/profiles/c1/params": row.params} {
				if want == 0 {
					continue
				}
				got := c.do("PATCH", url, row.patch)
				if got.status != want || !strings.Contains(got.body, row.message) {
					t.Errorf("PATCH %s: %d %s, want %d %q", url, got.status, got.body, want, row.message)
				}
				got.fault(t)
			}
			if after := c.must("GET", "/profiles/c1", ""); after.body != before.body || after.header.Get("ETag") != before.header.Get("ETag") {
				t.Errorf("profile changed to %s", after.body)
			}
		})
	}
}

func TestFailedPatchShowsNoValues(t *testing.T) {
	c := asAdmin(t, start(t, ""))
	c.must("POST", "/profiles", `{"Name":"c1","Params":{"password":"hunter2"}}`)
	for _, body := range []string{
		`[{"op":"test","path":"/Params/password","value":"hunter3"}]`,
		`[{"op":"remove","path":"/Params/nix"}]`,
		`[{"op":"add","path":"/Params/password/x","value":"hunter3"}]`,
	} {
		if got := c.do("PATCH", "/profiles/c1", body); got.status != 409 || strings.Contains(got.body, "hunter") {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
}

// A patch with a key twice must not have claims checked on one and change the other.
func TestPatchMembersHaveOneMeaning(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	plant(c)
	c.must("POST", "/roles", `{"Name":"narrow","Claims":[{"scope":"profiles","action":"get,update:/Params/open","specific":"c1"}]}`)
	c.must("POST", "/users", `{"Name":"nina","Roles":["narrow"]}`)
	token, err := s.UserToken("nina", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	nina := as(t, s, token)
	for body, want := range map[string]int{
		`[{"op":"add","path":"/Params/open","value":1}]`:                                      200,
		`[{"op":"add","path":"/Params/open/x","value":1}]`:                                    409,
		`[{"op":"add","path":"/Params/cas","value":1}]`:                                       403,
		`[{"op":"add","path":"/Params/opener","value":1}]`:                                    403,
		`[{"op":"add","path":"/Params/cas","path":"/Params/open","value":2}]`:                 400,
		`[{"op":"add","path":"/Params/open","path":"/Params/cas","value":2}]`:                 400,
		`[{"op":"add","path":"/Params/open","PATH":"/Params/cas","value":2}]`:                 403,
		`[{"op":"move","from":"/Params/cas","path":"/Params/open"}]`:                          403,
		`[{"op":"test","path":"/Params/cas","value":0},{"op":"remove","path":"/Params/nix"}]`: 403,
	} {
		if got := nina.do("PATCH", "/profiles/c1", body); got.status != want {
			t.Errorf("%s: %d %s, want %d", body, got.status, got.body, want)
		}
	}
	if got := c.must("GET", "/profiles/c1/params/cas", "").body; got != "0" {
		t.Errorf("cas became %s", got)
	}
}

func TestCountsOfAContest(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	plant(c)
	before := s.Counts()
	c.do("PATCH", "/profiles/c1", `[{"op":"replace","path":"/Params/cas","value":1}]`)
	c.do("PATCH", "/profiles/c1", `[{"op":"test","path":"/Params/cas","value":0}]`)
	c.do("PATCH", "/profiles/c1", `[]`)
	c.do("HEAD", "/profiles/c1", "")
	c.do("GET", "/profiles/c1/params/cas", "")
	c.do("GET", "/profiles/nix", "")
	c.do("GET", "/machines/"+nodeID, "")
	c.do("GET", "/machines", "")
	c.do("HEAD", "/machines/"+nodeID, "")
	c.do("PATCH", "/machines/"+nodeID, `[{"op":"add","path":"/Description","value":"counted"}]`)
	c.do("PATCH", "/machines/nix", `[]`)
	c.http.CloseIdleConnections()
	waitFor(t, func() bool { return s.Counts().Requests == before.Requests+11 })
	got := s.Counts()
	if got.ProfileWrites-before.ProfileWrites != 1 || got.ProfileConflicts != 1 || got.ProfileReads-before.ProfileReads != 1 || got.ProfilePolls != 1 ||
		got.MachineReads != 1 || got.MachinePolls != 1 || got.MachineWrites != 1 ||
		got.Statuses[404] != 2 || got.BytesToClients <= before.BytesToClients || got.BytesFromClients <= before.BytesFromClients {
		t.Errorf("counts went from %+v to %+v", before, got)
	}
}

func TestCommitsAreToldInOrder(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	var got []endpoint.Commit
	s.OnCommit(func(c endpoint.Commit) { got = append(got, c) })
	plant(c)
	c.must("PATCH", "/profiles/c1", `[{"op":"replace","path":"/Params/cas","value":5}]`)
	c.must("DELETE", "/machines/"+nodeID, "")
	s.OnCommit(nil)
	var order []string
	for i, commit := range got {
		order = append(order, commit.Action+" "+commit.Prefix+"/"+commit.Key)
		if i > 0 && commit.Boottime < got[i-1].Boottime {
			t.Errorf("commit %d is at %v, the one before at %v", i, commit.Boottime, got[i-1].Boottime)
		}
	}
	want := "create profiles/c1, create machines/" + nodeID + ", update profiles/c1, delete machines/" + nodeID
	if strings.Join(order, ", ") != want {
		t.Errorf("commits are %s, want %s", strings.Join(order, ", "), want)
	}
	if !strings.Contains(string(got[2].Object), `"cas":5`) {
		t.Errorf("committed object is %s", got[2].Object)
	}
}

// The library of JSON pointers takes keys that differ in a space for one another,
// and panics on some near the end of a document.
func TestPatchFindsEveryKey(t *testing.T) {
	c := asAdmin(t, start(t, ""))
	c.must("POST", "/profiles", `{"Name":"c1","Params":{"net":1,"net x":2,"net x y":3}}`)
	for i, name := range []string{"net", "net x", "net x y"} {
		c.must("PATCH", "/profiles/c1", fmt.Sprintf(`[{"op":"test","path":"/Params/%s","value":%d},{"op":"replace","path":"/Params/%[1]s","value":0}]`, name, i+1))
		c.must("PATCH", "/profiles/c1/params", fmt.Sprintf(`[{"op":"test","path":"/%s","value":0},{"op":"remove","path":"/%[1]s"}]`, name))
	}
	c.must("POST", "/profiles/c1/params", `{"aa":{}}`)
	long := strings.Repeat("long", 1000)
	for _, patch := range []string{
		`[{"op":"add","path":"/` + long + `","value":1}]`,
		`[{"op":"replace","path":"/` + long + `","value":2},{"op":"move","from":"/` + long + `","path":"/aa/` + long + `"}]`,
	} {
		c.must("PATCH", "/profiles/c1/params", patch)
	}
	if got := c.do("PATCH", "/profiles/c1/params", `[{"op":"add","path":"/`+long+`x/y","value":1}]`); got.status != 409 {
		t.Errorf("below a missing member: %d %.100s", got.status, got.body)
	}
}

func TestNothingIsNoPatchAndNoParams(t *testing.T) {
	c := asAdmin(t, start(t, ""))
	plant(c)
	for _, try := range []struct{ method, path, body string }{
		{"PATCH", "/profiles/c1", "null"}, {"PATCH", "/profiles/c1/params", "null"},
		{"POST", "/profiles/c1/params", "null"}, {"POST", "/profiles/c1/params", ""},
	} {
		if got := c.do(try.method, try.path, try.body); got.status != 400 {
			t.Errorf("%s %s %q: %d %s", try.method, try.path, try.body, got.status, got.body)
		}
	}
	if got := c.must("GET", "/profiles/c1/params", ""); !strings.Contains(got.body, `"cas":0`) {
		t.Errorf("the params are %s", got.body)
	}
}
