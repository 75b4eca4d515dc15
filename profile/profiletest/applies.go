package profiletest

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"muster/profile"
)

// patch is one rule of Apply. Places in want that are "" must be absent after.
type patch struct {
	name     string
	build    func(d *profile.Document, c *profile.Change)
	conflict bool
	want     map[profile.Pointer]string
}

var at = profile.At

var patches = []patch{
	{
		name: "SetsAndTestsAllTogether",
		build: func(d *profile.Document, c *profile.Change) {
			c.TestAsRead(d, at("test/count"))
			c.TestAsRead(d, at("test/record", "seq"))
			c.Set(at("test/count"), 2)
			c.Set(at("test/record", "seq"), 1)
			c.Set(at("test/new"), "made")
		},
		want: map[profile.Pointer]string{at("test/count"): `2`, at("test/record", "seq"): `1`, at("test/record", "name"): `"n1"`, at("test/new"): `"made"`},
	}, {
		name: "TestsComeBeforeSetsWhateverTheOrderOfTheCalls",
		build: func(d *profile.Document, c *profile.Change) {
			c.Set(at("test/count"), 2)
			c.TestAsRead(d, at("test/count"))
		},
		want: map[profile.Pointer]string{at("test/count"): `2`},
	}, {
		name: "AFailingTestAnywhereChangesNothing",
		build: func(d *profile.Document, c *profile.Change) {
			c.TestAsRead(d, at("test/count"))
			c.Set(at("test/count"), 2)
			c.Set(at("test/record", "name"), "other")
			c.Test(at("test/record", "seq"), json.RawMessage(`7`))
			c.Remove(at("test/numbers"))
		},
		conflict: true,
	}, {
		name: "AFailingSetChangesNothing",
		build: func(_ *profile.Document, c *profile.Change) {
			c.Set(at("test/count"), 2)
			c.Set(at("test/record", "absent", "leaf"), 1)
		},
		conflict: true,
	}, {
		name:     "AnAbsentPlaceCannotBeTested",
		build:    func(_ *profile.Document, c *profile.Change) { c.Test(at("test/absent"), json.RawMessage(`null`)) },
		conflict: true,
	}, {
		name:     "AnAbsentPlaceCannotBeRemoved",
		build:    func(_ *profile.Document, c *profile.Change) { c.Remove(at("test/record", "absent")) },
		conflict: true,
	}, {
		name:     "NoPlaceBelowAScalar",
		build:    func(_ *profile.Document, c *profile.Change) { c.Set(at("test/count", "leaf"), 1) },
		conflict: true,
	}, {
		name: "NumbersAreComparedByTheirText",
		build: func(_ *profile.Document, c *profile.Change) {
			c.Test(at("test/numbers", "one"), json.RawMessage(`1.0`))
		},
		conflict: true,
	}, {
		name: "NumbersOfAnotherTypeDiffer",
		build: func(_ *profile.Document, c *profile.Change) {
			c.Test(at("test/numbers", "one"), json.RawMessage(`"1"`))
		},
		conflict: true,
	}, {
		name: "NumbersAsReadAreEqual",
		build: func(d *profile.Document, c *profile.Change) {
			for _, leaf := range []string{"one", "float", "ten"} {
				c.TestAsRead(d, at("test/numbers", leaf))
			}
			c.Set(at("test/count"), 2)
		},
		want: map[profile.Pointer]string{at("test/count"): `2`},
	}, {
		name: "NamesWithSlashTildeAndNonASCII",
		build: func(d *profile.Document, c *profile.Change) {
			c.TestAsRead(d, at("test/größe", "a/b", "c~d"))
			c.TestAsRead(d, at("test/größe", "ключ"))
			c.Set(at("test/größe", "a/b", "c~d"), "new")
			c.Set(at("test/größe", "ключ"), "ключ~/")
			c.Set(at("test/größe", "~1"), 1)
			c.Remove(at("test/größe", "a b.c"))
		},
		want: map[profile.Pointer]string{
			at("test/größe", "a/b", "c~d"): `"new"`, at("test/größe", "ключ"): `"ключ~/"`,
			at("test/größe", "~1"): `1`, at("test/größe", "a b.c"): "",
		},
	}, {
		name: "AppendAddsBehindTheLast",
		build: func(_ *profile.Document, c *profile.Change) {
			c.Append(at("cluster/leaders"), profile.Mirror{UUID: "u3"})
		},
		want: map[profile.Pointer]string{at("cluster/leaders"): `[{"Address":"10.0.0.1","Name":"n1","Uuid":"u1"},
			{"Address":"10.0.0.2","Name":"n2","Uuid":"u2"},{"Address":"","Name":"","Uuid":"u3"}]`},
	}, {
		name: "AnElementIsTestedAndRemoved",
		build: func(_ *profile.Document, c *profile.Change) {
			c.Test("/cluster~1leaders/0/Uuid", json.RawMessage(`"u1"`))
			c.Remove("/cluster~1leaders/0")
		},
		want: map[profile.Pointer]string{at("cluster/leaders"): `[{"Address":"10.0.0.2","Name":"n2","Uuid":"u2"}]`},
	}, {
		name: "AnotherElementIsNotRemoved",
		build: func(_ *profile.Document, c *profile.Change) {
			c.Test("/cluster~1leaders/1/Uuid", json.RawMessage(`"u1"`))
			c.Remove("/cluster~1leaders/1")
		},
		conflict: true,
	}, {
		name:     "AnElementBeyondTheLastIsAbsent",
		build:    func(_ *profile.Document, c *profile.Change) { c.Remove("/cluster~1leaders/2") },
		conflict: true,
	}, {
		name:  "AnElementIsSetInPlace",
		build: func(_ *profile.Document, c *profile.Change) { c.Set("/cluster~1leaders/1/Name", "renamed") },
		want: map[profile.Pointer]string{at("cluster/leaders"): `[{"Address":"10.0.0.1","Name":"n1","Uuid":"u1"},
			{"Address":"10.0.0.2","Name":"renamed","Uuid":"u2"}]`},
	}, {
		name: "TheNamesOfTheParamsCanBeTested",
		build: func(d *profile.Document, c *profile.Change) {
			c.TestNames(d)
			c.TestAsRead(d, at("test/count"))
			c.Set(at("test/count"), 2)
			c.Set(at("test/new"), true)
		},
		want: map[profile.Pointer]string{at("test/count"): `2`, at("test/new"): `true`},
	}, {
		name: "TheNamesOfTheParamsSayNothingOfTheirValues",
		build: func(d *profile.Document, c *profile.Change) {
			c.TestNames(d.With(profile.Params{"test/count": json.RawMessage(`9`)}, []string{"test/count"}))
			c.Set(at("test/new"), true)
		},
		want: map[profile.Pointer]string{at("test/count"): `1`, at("test/new"): `true`},
	}, {
		name: "AParamThatIsMoreThanTheNamesConflicts",
		build: func(d *profile.Document, c *profile.Change) {
			c.TestNames(d.With(nil, []string{"test/count"}))
			c.Set(at("test/count"), 2)
		},
		conflict: true,
	}, {
		name: "AParamThatIsLessThanTheNamesConflicts",
		build: func(d *profile.Document, c *profile.Change) {
			c.TestNames(d.With(profile.Params{"test/gone": json.RawMessage(`1`)}, []string{"test/gone"}))
			c.Set(at("test/new"), true)
		},
		conflict: true,
	}, {
		name: "AllParamsTogetherCanBeTested",
		build: func(d *profile.Document, c *profile.Change) {
			c.TestAsRead(d, at("test/count"))
			c.TestAsRead(d, "")
			c.Set(at("test/new"), true)
		},
		want: map[profile.Pointer]string{at("test/new"): `true`},
	}, {
		name: "AllParamsTogetherDifferByOneLeaf",
		build: func(d *profile.Document, c *profile.Change) {
			c.TestAsRead(d.With(profile.Params{"test/count": json.RawMessage(`9`)}, []string{"test/count"}), "")
			c.Set(at("test/new"), true)
		},
		conflict: true,
	}, {
		name: "LaterSetsSeeEarlierOnes",
		build: func(_ *profile.Document, c *profile.Change) {
			c.Set(at("test/record", "sub", "x"), map[string]any{})
			c.Set(at("test/record", "sub", "x", "y"), []int{})
			c.Append(at("test/record", "sub", "x", "y"), 5)
		},
		want: map[profile.Pointer]string{at("test/record", "sub"): `{"x":{"y":[5]}}`},
	},
}

func (p patch) run(t *testing.T, open Open) {
	f := open(t, planted())
	before := read(t, f.Store())
	c := &profile.Change{}
	p.build(before, c)
	after, err := f.Store().Apply(t.Context(), c)
	found := read(t, f.Store())
	if p.conflict {
		if !errors.Is(err, profile.ErrConflict) {
			t.Errorf("Apply: error %v, want %v", err, profile.ErrConflict)
		}
		if diff := cmp.Diff(text(before.Params), text(found.Params)); diff != "" || found.Version != before.Version {
			t.Errorf("the refused change left a trace, version %q to %q (-before +after):\n%s", before.Version, found.Version, diff)
		}
		return
	}
	if err != nil {
		t.Fatalf("Apply: %v", err)
	}
	for pointer, want := range p.want {
		for what, d := range map[string]*profile.Document{"answer": after, "profile": found} {
			raw, ok := d.Lookup(pointer)
			switch {
			case want == "" && ok:
				t.Errorf("%s: %s is %s, want it absent", what, pointer, raw)
			case want == "":
			case !ok:
				t.Errorf("%s: %s is absent, want %s", what, pointer, want)
			default:
				if diff := cmp.Diff(value(t, json.RawMessage(want)), value(t, raw)); diff != "" {
					t.Errorf("%s: %s (-want +got):\n%s", what, pointer, diff)
				}
			}
		}
	}
}

func applyAnswersWithTheNewState(t *testing.T, open Open) {
	f := open(t, planted())
	before := read(t, f.Store())
	after, err := f.Store().Apply(t.Context(), set(before, 2))
	if err != nil {
		t.Fatal(err)
	}
	found := read(t, f.Store())
	if after.Name != Name || after.Version != found.Version || after.Date.Unix() <= 0 {
		t.Errorf("answer: name %q, version %q, date %v; want %q, %q and the endpoint's clock", after.Name, after.Version, after.Date, Name, found.Version)
	}
	if diff := cmp.Diff(text(found.Params), text(after.Params)); diff != "" {
		t.Errorf("answer and profile differ (-profile +answer):\n%s", diff)
	}
}

func otherParamsStayByteForByte(t *testing.T, open Open) {
	f := open(t, planted())
	// An endpoint may lay params out in its own way, when it is first written to.
	before, err := f.Store().Apply(t.Context(), set(read(t, f.Store()), 2))
	if err != nil {
		t.Fatal(err)
	}
	c := &profile.Change{}
	c.TestAsRead(before, at("test/strange", "z"))
	c.TestAsRead(before, at("test/record", "seq"))
	c.Set(at("test/record", "seq"), 1)
	if _, err := f.Store().Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	after := read(t, f.Store())
	delete(before.Params, "test/record")
	delete(after.Params, "test/record")
	if diff := cmp.Diff(text(before.Params), text(after.Params)); diff != "" {
		t.Errorf("params that the change does not set (-before +after):\n%s", diff)
	}
}
