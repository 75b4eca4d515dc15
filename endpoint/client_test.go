package endpoint_test

import (
	"strings"
	"testing"

	"gitlab.com/rackn/provision/v4/models"
)

// DRP's client, with the checks that it makes of a server.

func TestClientReadsInfo(t *testing.T) {
	info, err := admin(t, start(t, "")).Info()
	if err != nil {
		t.Fatal(err)
	}
	if info.Version != "v4.16.9-muster" || !info.HasFeature("api-v3") || info.ApiPort == 0 || len(info.Scopes) == 0 {
		t.Errorf("info is %+v", info)
	}
}

func TestClientPatchesByDifference(t *testing.T) {
	c := admin(t, start(t, ""))
	for _, prefix := range []string{"profiles", "machines"} {
		m, err := models.New(prefix)
		if err != nil {
			t.Fatal(err)
		}
		m.(models.NameSetter).SetName("one-of-them")
		m.(models.Paramer).SetParams(map[string]any{"cluster/x": map[string]any{"a": 1, "b": []any{"<&>"}}})
		if err := c.CreateModel(m); err != nil {
			t.Fatal(err)
		}
		for _, paranoid := range []bool{false, true} {
			next := models.Clone(m)
			params := next.(models.Paramer).GetParams()
			params["cluster/y"] = paranoid
			next.(models.Paramer).SetParams(params)
			res, err := c.PatchToFull(m, next, paranoid)
			if err != nil {
				t.Fatalf("%s, paranoid %v: %v", prefix, paranoid, err)
			}
			if res.(models.Paramer).GetParams()["cluster/y"] != paranoid {
				t.Errorf("%s, paranoid %v: patched to %+v", prefix, paranoid, res)
			}
			if _, err := c.PatchToFull(m, next, true); status(err) != 409 || !strings.Contains(err.Error(), "Test op failed.") {
				t.Errorf("%s: a stale patch says %v", prefix, err)
			}
			m = res.(models.Slicer)
		}
		if err := c.PutModel(m); err != nil {
			t.Error(err)
		}
		if found, err := c.ExistsModel(prefix, m.Key()); err != nil || !found {
			t.Errorf("exists says %v, %v", found, err)
		}
	}
}
