package endpoint_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint"
)

func TestEveryTypeCanBeCreatedChangedAndDeleted(t *testing.T) {
	for _, compat := range []string{"", "3.13"} {
		c := asAdmin(t, start(t, compat))
		for _, row := range []struct{ prefix, key, body string }{
			{"machines", nodeID, `{"Uuid":"` + nodeID + `","Name":"node-1"}`},
			{"profiles", "c1", `{"Name":"c1"}`},
			{"params", "cluster/x", `{"Name":"cluster/x","Schema":{"type":"string"}}`},
			{"tasks", "task-1", `{"Name":"task-1"}`},
			{"stages", "stage-1", `{"Name":"stage-1"}`},
			{"workflows", "flow 1", `{"Name":"flow 1","Stages":["stage-1"]}`},
			{"templates", "t.tmpl", `{"ID":"t.tmpl","Contents":"x"}`},
			{"bootenvs", "boot-1", `{"Name":"boot-1"}`},
			{"users", "nina", `{"Name":"nina"}`},
			{"roles", "role-1", `{"Name":"role-1"}`},
		} {
			url := "/" + row.prefix + "/" + strings.ReplaceAll(row.key, " ", "%20")
			created := c.do("POST", "/"+row.prefix, row.body)
			if created.status != 201 {
				t.Fatalf("POST %s: %d %s", url, created.status, created.body)
			}
			if again := c.do("POST", "/"+row.prefix, row.body); again.status != 409 || again.fault(t).Type != "CREATE" {
				t.Errorf("second POST %s: %d %s", url, again.status, again.body)
			}
			got := c.must("GET", url, "")
			if got.body != created.body {
				t.Errorf("GET %s: %s, created was %s", url, got.body, created.body)
			}
			if head := c.do("HEAD", url, ""); head.status != 200 || head.body != "" {
				t.Errorf("HEAD %s: %d %q", url, head.status, head.body)
			}
			if list := c.must("GET", "/"+row.prefix, ""); !strings.Contains(list.body, got.body) {
				t.Errorf("list of %s lacks %s", row.prefix, row.key)
			}
			c.must("PUT", url, got.body)
			changed := c.must("PATCH", url, `[{"op":"add","path":"/Meta","value":{"color":"red"}}]`)
			if !strings.Contains(changed.body, `"color":"red"`) {
				t.Errorf("PATCH %s: %s", url, changed.body)
			}
			if gone := c.must("DELETE", url, ""); gone.body != changed.body {
				t.Errorf("DELETE %s: %s, want %s", url, gone.body, changed.body)
			}
			for _, method := range []string{"GET", "HEAD", "DELETE", "PUT", "PATCH"} {
				body := map[string]string{"PUT": row.body, "PATCH": "[]"}[method]
				if after := c.do(method, url, body); after.status != 404 {
					t.Errorf("%s %s after DELETE: %d %s", method, url, after.status, after.body)
				}
			}
		}
	}
}

func TestErrorsOfObjects(t *testing.T) {
	c := asAdmin(t, start(t, ""))
	plant(c)
	c.must("POST", "/stages", `{"Name":"stage-1"}`)
	c.must("POST", "/workflows", `{"Name":"flow","Stages":["stage-1"]}`)
	c.must("PATCH", "/machines/"+nodeID, `[{"op":"replace","path":"/Workflow","value":"flow"}]`)
	machine := "/machines/" + nodeID
	for _, row := range []struct {
		method, path, body string
		status             int
		message            string
	}{
		{"POST", "/profiles", `{"Name":"x"}`, 422, "Invalid Name"},
		{"POST", "/profiles", `{"Name":"a/b"}`, 422, "Invalid Name"},
		{"POST", "/profiles", `{"Name":""}`, 400, "Empty key"},
		{"POST", "/profiles", `{"Name":"ok","Profiles":["nix"]}`, 422, "Profile nix (at 0) does not exist"},
		{"POST", "/profiles", `{"Name":"ok","Params":[]}`, 400, "Params must be an object"},
		{"POST", "/profiles", `{"Name":"ok","Params":{"x":1}}`, 422, "Invalid Param Name"},
		{"POST", "/profiles", `{"Name":7}`, 400, ""},
		{"POST", "/profiles", `[]`, 400, ""},
		{"POST", "/profiles", `{`, 400, ""},
		{"POST", "/profiles", ``, 400, ""},
		{"POST", "/machines", `{"Name":"node-1"}`, 422, "already in use"},
		{"POST", "/machines", `{"Name":"node-2","Uuid":"nonsense"}`, 400, ""},
		{"POST", "/machines", `{"Name":"node-2","Profiles":["nix"]}`, 422, "Profile nix (at 0) does not exist"},
		{"POST", "/machines", `{"Name":"node-2","Workflow":"nix"}`, 422, "nix"},
		{"POST", "/machines", `{"Name":"node-2","Stage":"nix"}`, 422, "Stage nix does not exist"},
		{"POST", "/params", `{"Name":"bad","Schema":{"type":"nonsense"}}`, 422, ""},
		{"POST", "/params", `{"Name":"bad","Schema":{"type":"integer","default":"x"}}`, 422, "default"},
		{"POST", "/params", `{"Name":"bad","Schema":{"items":{"$ref":"http://127.0.0.1:1/x"}}}`, 422, "another document"},
		{"PUT", "/profiles/c1", `{"Name":"c2"}`, 400, "Key change"},
		{"DELETE", "/profiles/c1", "", 422, "In use by machines node-1"},
		{"DELETE", "/workflows/flow", "", 422, "In use by machines node-1"},
		{"PATCH", machine, `[{"op":"replace","path":"/Uuid","value":"11111111-2222-4333-8444-000000000000"}]`, 400, "Key change"},
		{"PATCH", machine, `[{"op":"replace","path":"/Runnable","value":"x"}]`, 406, ""},
		{"PATCH", machine, `[{"op":"add","path":"/Profiles/-","value":"nix"}]`, 422, "Profile nix (at 1) does not exist"},
		{"GET", "/nonsense", "", 404, "No route"},
		{"POST", "/profiles/c1", `{}`, 404, "No route"},
		{"GET", "/profiles/", "", 404, "No route"},
		{"GET", "/profiles//c1", "", 404, "No route"},
		{"GET", "/profiles/../profiles", "", 404, "No route"},
	} {
		got := c.do(row.method, row.path, row.body)
		if got.status != row.status || !strings.Contains(got.body, row.message) {
			t.Errorf("%s %s %s: %d %s, want %d %q", row.method, row.path, row.body, got.status, got.body, row.status, row.message)
		}
		if e := got.fault(t); row.status == 422 && e.Type != "ValidationError" {
			t.Errorf("%s %s: type is %q", row.method, row.path, e.Type)
		}
	}
}

func TestUnknownFieldsAreIgnored(t *testing.T) {
	c := asAdmin(t, start(t, ""))
	got := c.must("POST", "/profiles", `{"Name":"c1","Nonsense":1,"params":{"xx":1}}`).body
	if strings.Contains(got, "Nonsense") || !strings.Contains(got, `"Params":{}`) {
		t.Errorf("created %s", got)
	}
	if got := c.must("PATCH", "/profiles/c1", `[{"op":"add","path":"/Nonsense","value":1}]`).body; strings.Contains(got, "Nonsense") {
		t.Errorf("patched %s", got)
	}
}

func TestBodiesNeedAContentType(t *testing.T) {
	c := asAdmin(t, start(t, ""))
	for _, row := range []struct {
		kind   string
		status int
	}{
		{"text/plain", 400}, {"", 400}, {"application/json", 201}, {"application/json; charset=utf-8", 409},
	} {
		if got := c.do("POST", "/profiles", `{"Name":"c1"}`, "Content-Type", row.kind); got.status != row.status {
			t.Errorf("%q: %d %s", row.kind, got.status, got.body)
		}
	}
	big := `{"Name":"big","Description":"` + strings.Repeat("x", 9<<20) + `"}`
	if got := c.do("POST", "/profiles", big); got.status != 413 {
		t.Errorf("9 MiB: %d", got.status)
	}
}

func TestLockedMachineOnlyUnlocks(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	plant(c)
	lock := func(on bool) string { return fmt.Sprintf(`[{"op":"replace","path":"/Locked","value":%v}]`, on) }
	c.must("PATCH", "/machines/"+nodeID, lock(true))
	for _, got := range []answer{
		c.do("PATCH", "/machines/"+nodeID, `[{"op":"add","path":"/Description","value":"x"}]`),
		c.do("POST", "/machines/"+nodeID+"/params/xx", `1`),
		c.do("DELETE", "/machines/"+nodeID, ""),
	} {
		if got.status != 403 || got.fault(t).Messages[0] != "Locked" {
			t.Errorf("answer is %d %s", got.status, got.body)
		}
	}
	machine, _ := tokens(t, s)
	machine.must("POST", "/machines/"+nodeID+"/params/xx", `1`)
	c.must("PATCH", "/machines/"+nodeID, lock(false))
}

func TestWhoAndWhen(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	plant(c)
	read := func() (p models.Profile) {
		if err := json.Unmarshal([]byte(c.must("GET", "/profiles/c1", "").body), &p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	created := read()
	_, profile := tokens(t, s)
	profile.must("PATCH", "/profiles/c1", `[{"op":"replace","path":"/CreatedBy","value":"mallory"}]`)
	changed := read()
	if created.CreatedBy != "rocketskates" || changed.CreatedBy != "rocketskates" || changed.LastModifiedBy != "rocketskates" ||
		!changed.CreatedAt.Equal(created.CreatedAt) || changed.LastModifiedAt.Before(created.LastModifiedAt) {
		t.Errorf("created %+v, changed %+v", created.Access, changed.Access)
	}
}

func TestIdentity(t *testing.T) {
	s := start(t, "")
	conn, err := tls.Dial("tcp", strings.TrimPrefix(s.URL(), "https://"), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sum := sha256.Sum256(conn.ConnectionState().PeerCertificates[0].Raw)
	if got := hex.EncodeToString(sum[:]); got != s.Fingerprint() {
		t.Errorf("fingerprint is %s, served %s", s.Fingerprint(), got)
	}
	for _, host := range []string{"127.0.0.1", "::1", "localhost"} {
		if err := conn.ConnectionState().PeerCertificates[0].VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
}

func TestBothProtocols(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	for _, major := range []int{1, 2} {
		roots := c.http.Transport.(*http.Transport).TLSClientConfig.RootCAs
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, Protocols: new(http.Protocols)}
		transport.Protocols.SetHTTP1(major == 1)
		transport.Protocols.SetHTTP2(major == 2)
		defer transport.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), "GET", c.url+"/info", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", c.auth)
		resp, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.ProtoMajor != major || resp.StatusCode != 200 {
			t.Errorf("asked for HTTP/%d, got %s %d", major, resp.Proto, resp.StatusCode)
		}
	}
}

func TestURLOfAllAddressesIsReachable(t *testing.T) {
	s, err := endpoint.New(endpoint.Config{Listen: ":0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	asAdmin(t, s).must("GET", "/info", "")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAddressInUseIsAnError(t *testing.T) {
	s := start(t, "")
	if _, err := endpoint.New(endpoint.Config{Listen: strings.TrimPrefix(s.URL(), "https://")}); err == nil {
		t.Error("a second server took the address")
	}
}

// A cluster profile of 200 KB must stay cheap to patch.
func BenchmarkPatchOfALargeProfile(b *testing.B) {
	s, err := endpoint.New(endpoint.Config{Listen: "127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	defer func() { cancel(); <-done }()
	token, err := s.UserToken(endpoint.DefaultUser, time.Hour)
	if err != nil {
		b.Fatal(err)
	}
	var body bytes.Buffer
	body.WriteString(`{"Name":"c1","Params":{"cas":0,"facts":{`)
	for i := range 200 {
		fmt.Fprintf(&body, `"m%d":{"Name":"node-%d","text":%q},`, i, i, strings.Repeat("x", 950))
	}
	body.WriteString(`"end":{}}}}`)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	send := func(method, path, body string) {
		req, _ := http.NewRequest(method, s.URL()+"/api/v3"+path, strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode/100 != 2 {
			b.Fatal(resp.Status)
		}
	}
	send("POST", "/profiles", body.String())
	for b.Loop() {
		send("PATCH", "/profiles/c1", `[{"op":"replace","path":"/Params/cas","value":1}]`)
	}
}

func TestJSONIsCompressedForWhoAcceptsIt(t *testing.T) {
	c := asAdmin(t, start(t, ""))
	c.must("POST", "/profiles", `{"Name":"big","Description":"`+strings.Repeat("x", 4000)+`"}`)
	plain := c.do("GET", "/profiles/big", "", "Accept-Encoding", "identity")
	zipped := c.do("GET", "/profiles/big", "", "Accept-Encoding", "gzip") // asked for by hand, so not unpacked
	if plain.header.Get("Content-Encoding") != "" || zipped.header.Get("Content-Encoding") != "gzip" || len(zipped.body) > 1000 {
		t.Errorf("%q with %d bytes and %q with %d", plain.header.Get("Content-Encoding"), len(plain.body), zipped.header.Get("Content-Encoding"), len(zipped.body))
	}
	if plain.header.Get("ETag") != zipped.header.Get("ETag") {
		t.Errorf("ETags are %s and %s", plain.header.Get("ETag"), zipped.header.Get("ETag"))
	}
	r, err := gzip.NewReader(strings.NewReader(zipped.body))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != plain.body {
		t.Errorf("unpacked %d bytes, %v; want %d", len(got), err, len(plain.body))
	}
}
