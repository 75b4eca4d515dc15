package endpoint

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"gitlab.com/rackn/provision/v4/models"
)

// Whatever the request line, the answer is DRP's: JSON with a fitting status.
func TestOddRequestLines(t *testing.T) {
	s, _ := workServer(t, "")
	s.putAll(t, &models.Profile{Name: "vault"})
	token := userToken(t, s)
	for line, want := range map[string]int{
		"GET /api/v3/info":                                               200,
		"GET http://elsewhere.example/api/v3/info":                       200,
		"GET /api/v3/../v3/info":                                         404,
		"GET /api/v3//info":                                              404,
		"GET //api/v3/info":                                              404,
		"GET /api/v3/./info":                                             404,
		"GET /api/v3/info/":                                              404,
		"GET /api/v3/%2e%2e/info":                                        404,
		"GET /api/v3/profiles/..%2fvault":                                404,
		"GET /api/v3/profiles/%2e%2e%2fprofiles":                         404,
		"GET /api/v3/profiles/a%2Fb":                                     404,
		"GET /api/v3/profiles/vault%00":                                  404,
		"GET /api/v3/profiles/%ff%fe":                                    404,
		"GET /api/v3/profiles/" + strings.Repeat("x", 60_000):            404,
		"GET /api/v3/profiles/Name:vault":                                200,
		"GET /api/v3/profiles/Name:":                                     404,
		"GET /api/v3/profiles/Name:Name:vault":                           404,
		"GET /api/v3/profiles/Name:%00%ff%2f..":                          404,
		"GET /api/v3/machines/Uuid:..":                                   404,
		"GET /api/v3/profiles/vault/params/%2e%2e/%2e%2e/x":              200, // the name of a param that is not set
		"GET /api/v3/profiles/vault/params/../../vault":                  404,
		"GET /api/v3/profiles/vault/params/" + strings.Repeat("/", 1000): 404,
		"GET /api/v3/params/%2Fetc%2Fpasswd":                             404,
		"GET /api/v3":                                                    404,
		"GET /":                                                          404,
		"GET *":                                                          404,
		"OPTIONS *":                                                      404,
		"OPTIONS /api/v3/info":                                           404,
		"TRACE /api/v3/info":                                             404,
		"CONNECT /api/v3/info":                                           404,
		"PROPFIND /api/v3/profiles":                                      404,
		"get /api/v3/info":                                               404,
		"HEAD /api/v3/info":                                              200,
		"GET /api/v3/info?" + strings.Repeat("a=b&", 10_000):             200,
		"GET /api/v3/profiles?%zz=%zz":                                   200,
		"GET /api/v3/profiles?\xff=1":                                    406,
		"GET /api/v3/profiles?Name=%00":                                  200,
	} {
		conn := s.rawConn(t)
		_, err := io.WriteString(conn, line+" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+token+"\r\nConnection: close\r\n\r\n")
		if err != nil {
			t.Fatal(err)
		}
		method, _, _ := strings.Cut(line, " ")
		resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: strings.Replace(method, "CONNECT", "GET", 1)})
		if err != nil {
			t.Errorf("%.60s: %v", line, err)
			continue
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		conn.Close()
		if resp.StatusCode != want {
			t.Errorf("%.60s: got %d %.100s, want %d", line, resp.StatusCode, body, want)
		}
		if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") || method != "HEAD" && !json.Valid(body) {
			t.Errorf("%.60s: got %q, %.100s", line, kind, body)
		}
	}
}
