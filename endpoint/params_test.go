package endpoint_test

import (
	"strings"
	"testing"
)

func TestParamsRoutes(t *testing.T) {
	for _, compat := range []string{"", "3.13"} {
		c := asAdmin(t, start(t, compat))
		c.must("POST", "/params", `{"Name":"cluster/count","Schema":{"type":"integer","default":3}}`)
		c.must("POST", "/params", `{"Name":"cluster/name","Schema":{"type":"string"}}`)
		c.must("POST", "/profiles", `{"Name":"c1"}`)
		for _, row := range []struct {
			method, path, body string
			status             int
			want               string
		}{
			{"GET", "", "", 200, `{}`},
			{"POST", "", `{"aa":1,"bb":[1, 2]}`, 200, `{"aa":1,"bb":[1,2]}`},
			{"GET", "", "", 200, `{"aa":1,"bb":[1,2]}`},
			{"GET", "?params=bb,nix", "", 200, `{"bb":[1,2]}`},
			{"GET", "/aa", "", 200, `1`},
			{"GET", "/nix", "", 200, `null`},
			{"GET", "/cluster/count", "", 200, `null`},
			{"GET", "/cluster/count?aggregate=true", "", 200, `3`},
			{"GET", "/cluster%2Fcount?aggregate=true", "", 200, `3`},
			{"GET", "/cluster/name?aggregate=true", "", 200, `null`},
			{"POST", "/cluster/count", `7`, 200, `7`},
			{"POST", "/cluster%2Fname", `"x"`, 200, `"x"`},
			{"GET", "/cluster/count?aggregate=true", "", 200, `7`},
			{"GET", "", "", 200, `{"aa":1,"bb":[1,2],"cluster/count":7,"cluster/name":"x"}`},
			{"POST", "/aa", `null`, 200, `null`},
			{"POST", "/empty", ``, 200, `null`},
			{"GET", "?params=aa,empty", "", 200, `{"aa":null,"empty":null}`},
			{"DELETE", "/aa", "", 200, `null`},
			{"DELETE", "/empty", "", 200, `null`},
			{"DELETE", "/bb", "", 200, `[1,2]`},
			{"DELETE", "/bb", "", 404, ``},
			{"POST", "/cluster/count", `"x"`, 409, ``},
			{"POST", "/xx", `nope`, 400, ``},
			{"POST", "/xx", `1e400`, 400, ``},
			{"POST", "/xx", `{"` + strings.Repeat("k", 20000) + `":1}`, 400, ``},
			{"POST", "/x", `1`, 409, ``},
			{"POST", "", `{"cluster/count":"x"}`, 409, ``},
			{"POST", "", `[]`, 409, ``},
			{"GET", "", "", 200, `{"cluster/count":7,"cluster/name":"x"}`},
			{"POST", "", `{}`, 200, `{}`},
		} {
			got := c.do(row.method, "/profiles/c1/params"+row.path, row.body)
			if got.status != row.status || row.status == 200 && got.body != row.want {
				t.Errorf("compat %q: %s %s %s: %d %s, want %d %s", compat, row.method, row.path, row.body, got.status, got.body, row.status, row.want)
			}
			if got.status != 200 {
				got.fault(t)
			}
		}
		if e := c.do("DELETE", "/profiles/c1/params/nix", "").fault(t); e.Model != "params" || e.Messages[0] != "Not Found" {
			t.Errorf("error is %+v", e)
		}
		if got := c.do("GET", "/profiles/nix/params", ""); got.status != 404 {
			t.Errorf("params of no profile: %d", got.status)
		}
	}
}

func TestAggregationOrder(t *testing.T) {
	c := asAdmin(t, start(t, ""))
	c.must("POST", "/profiles", `{"Name":"inner","Params":{"p4":"inner","p1":"inner"}}`)
	c.must("POST", "/profiles", `{"Name":"second","Params":{"p1":"second","p2":"second","p3":"second"}}`)
	c.must("POST", "/profiles", `{"Name":"staged","Params":{"p5":"stage profile","p6":"stage profile"}}`)
	c.must("POST", "/stages", `{"Name":"st","Profiles":["staged"],"Params":{"p3":"stage","p5":"stage"}}`)
	c.must("PATCH", "/profiles/global", `[{"op":"add","path":"/Params","value":{"p6":"global","p7":"global"}}]`)
	c.must("POST", "/profiles", `{"Name":"outer","Profiles":["inner"],"Params":{"p8":"outer"}}`)
	c.must("PATCH", "/profiles/inner", `[{"op":"add","path":"/Profiles/-","value":"outer"}]`)
	c.must("POST", "/machines", `{"Name":"node-1","Uuid":"`+nodeID+`","Stage":"st","Profiles":["outer","second"],"Params":{"p0":"own"}}`)
	want := `{"p0":"own","p8":"outer","p1":"inner","p4":"inner","p2":"second","p3":"second","p5":"stage","p6":"stage profile","p7":"global"}`
	if got := c.must("GET", "/machines/"+nodeID+"/params?aggregate=true", "").body; got != want {
		t.Errorf("aggregated params are %s, want %s", got, want)
	}
	if got := c.must("GET", "/machines/"+nodeID+"/params", "").body; got != `{"p0":"own"}` {
		t.Errorf("own params are %s", got)
	}
}

// One bad value, declared bad after it was set, blocks every write of its object.
func TestLaterDeclarationCounts(t *testing.T) {
	c := asAdmin(t, start(t, ""))
	plant(c)
	c.must("POST", "/params", `{"Name":"cas","Schema":{"type":"string"}}`)
	if got := c.do("POST", "/profiles/c1/params/other", `1`); got.status != 409 {
		t.Errorf("write beside a bad value: %d %s", got.status, got.body)
	}
	c.must("PATCH", "/params/cas", `[{"op":"replace","path":"/Schema/type","value":"integer"}]`)
	c.must("POST", "/profiles/c1/params/other", `1`)
	c.must("DELETE", "/params/cas", "")
	c.must("POST", "/profiles/c1/params/cas", `"free"`)
}

// The numbers of a client survive writes that do not concern them.
func TestNumbersAreKept(t *testing.T) {
	c := asAdmin(t, start(t, ""))
	plant(c)
	const exact = `{"big":12345678901234567890,"float":1.5}`
	c.must("POST", "/machines/"+nodeID+"/params", exact)
	c.must("PATCH", "/machines/"+nodeID, `[{"op":"add","path":"/Description","value":"x"}]`)
	if got := c.must("GET", "/machines/"+nodeID+"/params", "").body; got != exact {
		t.Errorf("params are %s", got)
	}
}
