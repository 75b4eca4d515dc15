package endpoint

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint/rawjson"
	"muster/endpoint/schema"
)

// ask sends a request as the default user and returns status and body.
func (s *Server) ask(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	resp := s.call(t, userToken(t, s), method, path, body)
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return resp.StatusCode, string(text)
}

func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

func TestCostlyBodiesAreRefused(t *testing.T) {
	s, _ := workServer(t, "")
	s.putAll(t, &models.Profile{Name: "aa"})
	for name, row := range map[string]struct {
		body string
		want int
	}{
		"deep":             {nested(rawjson.MaxDepth - 2), 200},
		"too deep":         {nested(rawjson.MaxDepth + 1), 400},
		"far too deep":     {nested(1_000_000), 400},
		"unclosed":         {strings.Repeat("[", 100_000), 400},
		"long number":      {"0." + strings.Repeat("9", rawjson.MaxNumber-2), 200},
		"big number":       {strings.Repeat("9", 308), 200},
		"too big number":   {strings.Repeat("9", 309), 400},
		"too long number":  {strings.Repeat("9", rawjson.MaxNumber+1), 400},
		"huge":             {"1e400", 400},
		"tiny":             {"1e-999999999", 400},
		"nought":           {"0e999999999", 400},
		"float":            {"1.5e-30", 200},
		"twice":            {`{"a":1,"a":2}`, 400},
		"not UTF-8":        {"\"\xff\xfe\"", 200},
		"lone surrogate":   {`"\ud800"`, 200},
		"NUL":              {`"\u0000"`, 200},
		"digits in text":   {`"` + strings.Repeat("9", 2*rawjson.MaxNumber) + `"`, 200},
		"brackets in text": {`"\"` + strings.Repeat("[", 2*rawjson.MaxDepth) + `"`, 200},
		"too big":          {`"` + strings.Repeat("x", maxBody) + `"`, 413},
	} {
		got, body := s.ask(t, "POST", "/profiles/aa/params/some", row.body)
		if got != row.want {
			t.Errorf("%s: got %d %.200s, want %d", name, got, body, row.want)
		}
		if _, after := s.ask(t, "GET", "/profiles/aa/params/some", ""); !json.Valid([]byte(after)) {
			t.Errorf("%s: what was stored is no JSON: %.200s", name, after)
		}
	}
}

// Patches make values deeper and objects bigger than any one body.
func TestObjectsDoNotGrowForEver(t *testing.T) {
	s, _ := workServer(t, "")
	s.putAll(t, &models.Profile{Name: "aa"}, &models.Profile{Name: "bb"})
	code, body := 0, ""
	s.ask(t, "POST", "/profiles/aa/params/deep", `{}`)
	for range rawjson.MaxDepth {
		if code, body = s.ask(t, "PATCH", "/profiles/aa", `[{"op":"copy","from":"/Params/deep","path":"/Params/deep/x"}]`); code != 200 {
			break
		}
	}
	if code != 400 || !strings.Contains(body, "deep") {
		t.Errorf("deepened until %d %.200s", code, body)
	}
	big := `"` + strings.Repeat("x", maxBody-100) + `"`
	for _, name := range []string{"/profiles/bb/params/p1", "/profiles/bb/params/p2", "/profiles/bb/params/p3"} {
		code, body = s.ask(t, "POST", name, big)
	}
	if code != 409 || !strings.Contains(body, "bytes") {
		t.Errorf("grew until %d %.200s", code, body)
	}
}

// The library that checks schemas overflows its stack on these, which would end
// the process.
func TestSchemasThatNeverEndAreRefused(t *testing.T) {
	s, _ := workServer(t, "")
	s.putAll(t, &models.Profile{Name: "aa"})
	power := `{"$ref":"#/definitions/d0","definitions":{"d40":{}`
	for i := range 40 {
		next := `{"$ref":"#/definitions/d` + string(rune('0'+(i+1)/10)) + string(rune('0'+(i+1)%10)) + `"}`
		name := "d" + string(rune('0'+i/10)) + string(rune('0'+i%10))
		if i == 0 {
			name = "d0"
		}
		power += `,"` + name + `":{"anyOf":[` + next + `,` + next + `]}`
	}
	power += `}}`
	for name, row := range map[string]struct {
		schema          string
		declared, value int // status of the declaration and of a value
	}{
		"itself":        {`{"$ref":"#"}`, 201, 409},
		"itself by all": {`{"allOf":[{"$ref":"#"}]}`, 201, 409},
		"circle":        {`{"definitions":{"a":{"$ref":"#/definitions/b"},"b":{"$ref":"#/definitions/a"}},"$ref":"#/definitions/a"}`, 201, 409},
		"by names":      {`{"propertyNames":{"$ref":"#/definitions/a"},"definitions":{"a":{"not":{"$ref":"#/definitions/a"}}}}`, 201, 409},
		"exponential":   {power, 201, 409},
		"with default":  {`{"$ref":"#","default":1}`, 422, 200},
		"nowhere":       {`{"$ref":"#/definitions/a"}`, 422, 200},
		"a name":        {`{"$ref":"#a","definitions":{"a":{"$id":"#a","$ref":"#a"}}}`, 422, 200},
		"new base":      {`{"definitions":{"a":{"$id":"http://127.0.0.1:1/","$ref":"#/x"}},"$ref":"#/definitions/a","x":{}}`, 422, 200},
		"file":          {`{"$ref":"file:///etc/passwd"}`, 422, 200},
		"remote":        {`{"properties":{"x":{"$ref":"http://127.0.0.1:1/"}}}`, 422, 200},
		"patterns":      {`{"pattern":"` + strings.Repeat("x{1000}", schema.MaxPatterns+1) + `"}`, 422, 200},
		"a tree":        {`{"type":"object","properties":{"child":{"$ref":"#"}},"additionalProperties":false}`, 201, 200},
		"plain":         {`{"type":"object"}`, 201, 200},
	} {
		t.Run(name, func(t *testing.T) {
			got, body := s.ask(t, "POST", "/params", `{"Name":"decl","Schema":`+row.schema+`}`)
			if got != row.declared {
				t.Errorf("declared: %d %.200s", got, body)
			}
			got, body = s.ask(t, "POST", "/profiles/aa/params/decl", `{"child":{"child":{}}}`)
			if got != row.value {
				t.Errorf("value: %d %.200s", got, body)
			}
			s.ask(t, "DELETE", "/profiles/aa/params/decl", "")
			s.ask(t, "DELETE", "/params/decl", "")
		})
	}
}

// rawConn opens a TLS connection without any client on top.
func (s *Server) rawConn(t *testing.T) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", s.listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// ended reports whether the server ends a connection.
func ended(t *testing.T, conn net.Conn) bool {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	_, err := io.Copy(io.Discard, conn)
	ne, ok := errors.AsType[net.Error](err)
	return !ok || !ne.Timeout()
}

// Clients that send a header or a body byte by byte, or nothing, are cut off.
func TestSlowClientsAreCutOff(t *testing.T) {
	s, stop := workServer(t, "", func(s *Server) {
		s.times = requestTimes{header: 300 * time.Millisecond, body: 300 * time.Millisecond, idle: 300 * time.Millisecond}
	})
	token := userToken(t, s)
	silent, err := net.Dial("tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if !ended(t, silent) {
		t.Error("a connection without a handshake is kept")
	}
	head := " /api/v3/profiles HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	auth := "Authorization: Bearer " + token + "\r\n"
	for name, sent := range map[string]string{
		"nothing":              "",
		"part of a header":     "GET" + head,
		"part of a body":       "POST" + head + auth + "Content-Length: 100\r\n\r\n{",
		"part of a chunk":      "POST" + head + auth + "Transfer-Encoding: chunked\r\n\r\n64\r\n{",
		"unread body":          "GET" + head + auth + "Content-Length: 100\r\n\r\n{",
		"unwelcome body":       "POST" + head + "Content-Length: 100\r\n\r\n{",
		"idle after a request": "GET" + head + auth + "\r\n",
	} {
		conn := s.rawConn(t)
		// On a host under load this client may be cut off before it begins.
		if _, err := io.WriteString(conn, sent); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			t.Fatal(err)
		}
		if !ended(t, conn) {
			t.Errorf("%s: the connection is kept", name)
		}
	}
	stop()
}

// deadlineWatch remembers the read deadline that is in force.
type deadlineWatch struct {
	http.ResponseWriter
	inForce *atomic.Bool
}

func (w deadlineWatch) SetReadDeadline(at time.Time) error {
	w.inForce.Store(!at.IsZero())
	return http.NewResponseController(w.ResponseWriter).SetReadDeadline(at)
}

// Long polls wait longer than anybody may take for a body.
func TestBodyTimeDoesNotEndLongPolls(t *testing.T) {
	s, _ := workServer(t, "")
	var inForce atomic.Bool
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.ServeHTTP(deadlineWatch{w, &inForce}, r)
	}))
	front.EnableHTTP2 = true
	front.StartTLS()
	defer front.Close()
	s.putAll(t, &models.Profile{Name: "aa"})
	first := s.call(t, userToken(t, s), "GET", "/profiles/aa", "")
	req, err := http.NewRequestWithContext(t.Context(), "GET", front.URL+"/api/v3/profiles/aa", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{
		"Authorization": {"Bearer " + userToken(t, s)}, "If-None-Match": {first.Header.Get("ETag")}, "Prefer": {"wait=100"},
	}
	for name, client := range map[string]*http.Client{"HTTP/2": insecure(t), "HTTP/1.1": oldHTTP(t)} {
		done := make(chan int)
		go func() {
			resp, err := client.Do(req)
			if err != nil {
				t.Error(err)
				done <- 0
				return
			}
			resp.Body.Close()
			done <- resp.StatusCode
		}()
		for s.Counts().Waiting == 0 {
			time.Sleep(time.Millisecond)
		}
		if inForce.Load() {
			t.Errorf("%s: a long poll waits with a read deadline in force", name)
		}
		s.putAll(t, &models.Profile{Name: "aa"})
		if got := <-done; got != 200 {
			t.Errorf("%s: long poll got %d", name, got)
		}
		fresh := s.call(t, userToken(t, s), "GET", "/profiles/aa", "")
		req.Header.Set("If-None-Match", fresh.Header.Get("ETag"))
	}
}

// oldHTTP is a client that speaks HTTP/1.1 only.
func oldHTTP(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestLongHeaderIsRefused(t *testing.T) {
	s, _ := workServer(t, "")
	conn := s.rawConn(t)
	_, err := io.WriteString(conn, "GET /api/v3/info HTTP/1.1\r\nHost: x\r\nX-Long: "+strings.Repeat("x", maxHeader+8192)+"\r\n\r\n")
	if err != nil {
		return // it was cut off meanwhile
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil {
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("got %s", resp.Status)
		}
	}
}

func TestPanicIsAnsweredAndNotTold(t *testing.T) {
	var log lockedBuilder
	s, stop := workServer(t, "", logInto(&log), func(s *Server) {
		inner := s.handler
		s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/api/v3/panic" {
				panic("planted-secret")
			}
			inner.ServeHTTP(w, r)
		})
	})
	if got, body := s.ask(t, "GET", "/panic", ""); got != 500 || strings.Contains(body, "planted-secret") {
		t.Errorf("got %d %s", got, body)
	}
	if got, _ := s.ask(t, "GET", "/info", ""); got != 200 {
		t.Errorf("after the panic: %d", got)
	}
	stop()
	if !strings.Contains(log.String(), "TestPanicIsAnsweredAndNotTold") || strings.Contains(log.String(), "planted-secret") {
		t.Errorf("the log says %s", log.String())
	}
}

func TestDefaultIsLoopbackOnly(t *testing.T) {
	host, _, err := net.SplitHostPort(DefaultListen)
	if err != nil || !net.ParseIP(host).IsLoopback() {
		t.Errorf("the default address is %s", DefaultListen)
	}
}
