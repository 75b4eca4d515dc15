//go:build linux

package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The endpoint is killed again and again in the middle of writes. MUSTER_KILLS
// says how often. It shows what a process leaves behind that is killed, and not
// what a host does that loses its power.
func TestKilledEndpointHasEverythingThatItAcknowledged(t *testing.T) {
	kills := 15
	if v := os.Getenv("MUSTER_KILLS"); v != "" {
		var err error
		if kills, err = strconv.Atoi(v); err != nil {
			t.Fatalf("MUSTER_KILLS: %v", err)
		}
	}
	begin := time.Now()
	e := newVictim(t)
	p := e.start(t)
	e.login(t)
	shared := &sharedCounter{}
	writers := []writer{
		&counter{name: "alone-1"}, &counter{name: "alone-2"}, shared, shared, &paramWriter{name: "param-1"}, &paramWriter{name: "param-2"},
		&machineWriter{number: 1}, &machineWriter{number: 2}, &logWriter{number: 1}, &logWriter{number: 2}, &fileWriter{}, &packWriter{},
	}
	e.prepareJobs(t)
	for _, w := range writers {
		w.prepare(t, e)
	}
	for i := range kills {
		e.loadAndKill(t, p, writers)
		if i%4 == 3 { // and once more while it starts
			early := start(t, e.args...)
			time.Sleep(rand.N(40 * time.Millisecond))
			early.signal(t, syscall.SIGKILL)
			early.exit(t)
		}
		p = e.start(t)
		for _, w := range writers {
			w.verify(t, e)
		}
		if t.Failed() {
			t.Fatalf("after %d kills", i+1)
		}
	}
	t.Logf("%d kills in the middle of writes, %d acknowledged writes, 0 lost; %d writes without an answer, of which %d are there; %v",
		kills, e.acked.Load(), e.pending, e.landed, time.Since(begin).Round(time.Second))
	if e.acked.Load() == 0 || kills >= 15 && e.pending == 0 {
		t.Errorf("%d acknowledged writes, %d without an answer: this was no test", e.acked.Load(), e.pending)
	}
}

// victim is an endpoint that is killed, and a client of it.
type victim struct {
	args   []string
	url    string
	ca     string
	token  string
	client *http.Client

	acked           atomic.Int64
	pending, landed int
}

func newVictim(t *testing.T) *victim {
	t.Helper()
	dir := t.TempDir()
	// A port that no client gets while the endpoint is down.
	for {
		addr := fmt.Sprintf("127.0.0.1:%d", 15000+rand.IntN(15000))
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		ca := filepath.Join(dir, "ca.pem")
		return &victim{
			url: "https://" + addr, ca: ca,
			args: []string{"endpoint", "serve", "--listen", addr, "--data", filepath.Join(dir, "data.json"), "--ca-file", ca},
		}
	}
}

// start runs the endpoint until it answers.
func (e *victim) start(t *testing.T) *program {
	t.Helper()
	p := start(t, e.args...)
	until(t, "the endpoint says where it is", func() bool {
		select {
		case <-p.ended:
			t.Fatalf("it has ended:\n%s%s", &p.out, &p.err)
		default:
		}
		return strings.Count(p.out.String(), "\n") == 4
	})
	return p
}

func (e *victim) login(t *testing.T) {
	t.Helper()
	pem, err := os.ReadFile(e.ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	e.client = &http.Client{Transport: transport}
	req, err := http.NewRequestWithContext(t.Context(), "GET", e.url+"/api/v3/users/rocketskates/token?ttl=864000", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("rocketskates", "r0cketsk8ts")
	resp, err := e.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct{ Token string }
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || got.Token == "" {
		t.Fatalf("log in: %d, %v", resp.StatusCode, err)
	}
	e.token = got.Token
}

// answer is what a request got; acknowledged is all but its body.
type answer struct {
	status int
	etag   string
	body   []byte
}

var errGone = errors.New("the endpoint is gone")

// do sends a request. With errGone nobody knows what became of it.
func (e *victim) do(method, path string, body []byte) (answer, error) {
	req, err := http.NewRequest(method, e.url+"/api/v3"+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+e.token)
	req.Header.Set("Content-Type", "application/json")
	if strings.HasPrefix(path, "/files/") || strings.HasSuffix(path, "/log") {
		req.Header.Set("Content-Type", "application/octet-stream")
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return answer{}, errGone
	}
	defer resp.Body.Close()
	res := answer{status: resp.StatusCode, etag: resp.Header.Get("ETag")}
	if res.body, err = io.ReadAll(resp.Body); err != nil && method == "GET" {
		return res, errGone
	}
	return res, nil
}

// must sends a request that has to succeed, while nothing is killed.
func (e *victim) must(t *testing.T, method, path, body string) answer {
	t.Helper()
	got, err := e.do(method, path, []byte(body))
	if err != nil || got.status/100 != 2 {
		t.Fatalf("%s %s: %d %s, %v", method, path, got.status, got.body, err)
	}
	return got
}

// loadAndKill lets the writers write and kills the endpoint at some moment.
func (e *victim) loadAndKill(t *testing.T, p *program, writers []writer) {
	t.Helper()
	var all sync.WaitGroup
	for _, w := range writers {
		all.Go(func() {
			for {
				acked, err := w.write(e)
				if errors.Is(err, errGone) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				if acked {
					e.acked.Add(1)
				}
			}
		})
	}
	time.Sleep(rand.N(150 * time.Millisecond))
	p.signal(t, syscall.SIGKILL)
	p.exit(t)
	all.Wait()
	e.client.CloseIdleConnections()
}

// unknown notes what became of a write without an answer.
func (e *victim) unknown(landed bool) {
	e.pending++
	if landed {
		e.landed++
	}
}

// A writer makes changes of one kind, one after the other.
type writer interface {
	prepare(t *testing.T, e *victim)
	// write makes one change and remembers whether it was acknowledged. errGone:
	// the endpoint did not answer.
	write(e *victim) (acked bool, err error)
	// verify fails the test if an acknowledged change is not there, or one without
	// an answer only in part. What is there is what it goes on from.
	verify(t *testing.T, e *victim)
}

// series is the part that is common to writers which replace one value by the next.
type series struct {
	n       int // of the last acknowledged value
	pending bool
}

// write sends value n+1.
func (s *series) write(e *victim, method, path string, body []byte) (answer, bool, error) {
	got, err := e.do(method, path, body)
	switch {
	case err != nil:
		s.pending = true
		return got, false, err
	case got.status/100 != 2:
		return got, false, fmt.Errorf("%s %s: %d %s", method, path, got.status, got.body)
	}
	s.n++
	return got, true, nil
}

// settle takes what was found: the value is n, n+1 or something else (-1).
func (s *series) settle(t *testing.T, e *victim, what string, found int) {
	t.Helper()
	switch {
	case found == s.n:
	case found == s.n+1 && s.pending:
	default:
		t.Errorf("%s: acknowledged is number %d (without an answer the next: %v), found %d", what, s.n, s.pending, found)
	}
	if s.pending {
		e.unknown(found == s.n+1)
	}
	s.n, s.pending = found, false
}

// counter counts in a profile of its own, by guarded patches.
type counter struct {
	series
	name, etag string
}

func (c *counter) prepare(t *testing.T, e *victim) {
	e.must(t, "POST", "/profiles", fmt.Sprintf(`{"Name":%q,"Params":{"n1":0}}`, c.name))
}

func (c *counter) write(e *victim) (bool, error) {
	patch := fmt.Sprintf(`[{"op":"test","path":"/Params/n1","value":%d},{"op":"replace","path":"/Params/n1","value":%d}]`, c.n, c.n+1)
	got, acked, err := c.series.write(e, "PATCH", "/profiles/"+c.name, []byte(patch))
	if acked {
		c.etag = got.etag
	}
	return acked, err
}

func (c *counter) verify(t *testing.T, e *victim) {
	got := e.must(t, "GET", "/profiles/"+c.name, "")
	var profile struct{ Params map[string]int }
	if err := json.Unmarshal(got.body, &profile); err != nil {
		t.Fatal(err)
	}
	if c.etag != "" && profile.Params["n1"] == c.n && got.etag != c.etag {
		t.Errorf("%s: number %d had the ETag %s and now has %s", c.name, c.n, c.etag, got.etag)
	}
	c.settle(t, e, c.name, profile.Params["n1"])
	c.etag = got.etag
}

// sharedCounter is counted up by several writers that race.
type sharedCounter struct {
	mu             sync.Mutex
	made           bool
	acked, pending int
}

func (c *sharedCounter) prepare(t *testing.T, e *victim) {
	if !c.made {
		e.must(t, "POST", "/profiles", `{"Name":"shared","Params":{"n1":0}}`)
	}
	c.made = true
}

func (c *sharedCounter) read(e *victim) (int, error) {
	got, err := e.do("GET", "/profiles/shared/params/n1", nil)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(got.body))
}

func (c *sharedCounter) write(e *victim) (bool, error) {
	n, err := c.read(e)
	if err != nil {
		return false, err
	}
	got, err := e.do("PATCH", "/profiles/shared", fmt.Appendf(nil, `[{"op":"test","path":"/Params/n1","value":%d},{"op":"replace","path":"/Params/n1","value":%d}]`, n, n+1))
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil:
		c.pending++
	case got.status == 200:
		c.acked++
	case got.status != 409:
		err = fmt.Errorf("shared counter: %d %s", got.status, got.body)
	}
	return got.status == 200, err
}

func (c *sharedCounter) verify(t *testing.T, e *victim) {
	n, err := c.read(e)
	if err != nil {
		t.Fatal(err)
	}
	if n < c.acked || n > c.acked+c.pending {
		t.Errorf("shared counter: %d steps are acknowledged and %d without an answer, found %d", c.acked, c.pending, n)
	}
	for i := range c.pending {
		e.unknown(i < n-c.acked)
	}
	c.acked, c.pending = n, 0
}

// paramWriter posts values of changing size to one param of a profile.
type paramWriter struct {
	series
	name string
}

func (w *paramWriter) value(n int) string {
	return fmt.Sprintf(`{"n":%d,"pad":%q}`, n, strings.Repeat("x", n*337%5000))
}

func (w *paramWriter) path() string { return "/profiles/global/params/kill/" + w.name }

func (w *paramWriter) prepare(t *testing.T, e *victim) { e.must(t, "POST", w.path(), w.value(0)) }

func (w *paramWriter) write(e *victim) (bool, error) {
	_, acked, err := w.series.write(e, "POST", w.path(), []byte(w.value(w.n+1)))
	return acked, err
}

func (w *paramWriter) verify(t *testing.T, e *victim) {
	w.settle(t, e, w.name, which(w.n, e.must(t, "GET", w.path(), "").body, w.value))
}

// which says whether a text is value n or n+1; -1 if it is neither.
func which(n int, got []byte, value func(int) string) int {
	for _, i := range []int{n, n + 1} {
		if string(got) == value(i) {
			return i
		}
	}
	return -1
}

// machineWriter makes machines and deletes the oldest of them.
type machineWriter struct {
	number, next int
	there        []string // names, oldest first
	making       string   // without an answer so far
	deleting     string   // likewise
}

func (w *machineWriter) uuid(name string) string {
	n, _ := strconv.Atoi(name[strings.LastIndex(name, "-")+1:])
	return fmt.Sprintf("%08d-0000-4000-8000-%012d", w.number, n)
}

func (w *machineWriter) prepare(*testing.T, *victim) {}

func (w *machineWriter) write(e *victim) (bool, error) {
	method, path, body := "POST", "/machines", ""
	if len(w.there) >= 5 {
		w.deleting = w.there[0]
		method, path = "DELETE", "/machines/"+w.uuid(w.deleting)
	} else {
		w.making = fmt.Sprintf("w%d-machine-%d", w.number, w.next)
		w.next++
		body = fmt.Sprintf(`{"Name":%q,"Uuid":%q,"Description":"made by %[1]s","Profiles":["shared"]}`, w.making, w.uuid(w.making))
	}
	got, err := e.do(method, path, []byte(body))
	if err != nil {
		return false, err
	}
	if got.status/100 != 2 {
		return false, fmt.Errorf("%s %s: %d %s", method, path, got.status, got.body)
	}
	w.take(true)
	return true, nil
}

// take ends the change that is under way.
func (w *machineWriter) take(happened bool) {
	switch {
	case happened && w.making != "":
		w.there = append(w.there, w.making)
	case happened && w.deleting != "":
		w.there = w.there[1:]
	}
	w.making, w.deleting = "", ""
}

func (w *machineWriter) verify(t *testing.T, e *victim) {
	var machines []struct {
		Name, Uuid, Description string
		Profiles                []string
	}
	if err := json.Unmarshal(e.must(t, "GET", "/machines", "").body, &machines); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, m := range machines {
		if !strings.HasPrefix(m.Name, fmt.Sprintf("w%d-machine-", w.number)) {
			continue
		}
		found[m.Name] = true
		if m.Description != "made by "+m.Name || m.Uuid != w.uuid(m.Name) || len(m.Profiles) != 1 {
			t.Errorf("half a machine: %+v", m)
		}
	}
	if w.making+w.deleting != "" {
		happened := found[w.making] || w.deleting != "" && !found[w.deleting]
		e.unknown(happened)
		w.take(happened)
	}
	for _, name := range w.there {
		if !found[name] {
			t.Errorf("machine %s was acknowledged and is not there", name)
		}
		delete(found, name)
	}
	for name := range found {
		t.Errorf("machine %s is there, and its removal was acknowledged", name)
	}
}

// logWriter appends to the log of a job.
type logWriter struct {
	series
	number int
	job    string
	text   string // what is acknowledged of it
}

func (e *victim) prepareJobs(t *testing.T) {
	t.Helper()
	e.must(t, "POST", "/tasks", `{"Name":"talk"}`)
	e.must(t, "POST", "/stages", `{"Name":"talking","Tasks":["talk"]}`)
	e.must(t, "POST", "/workflows", `{"Name":"talks","Stages":["talking"]}`)
}

func (w *logWriter) machine() string { return fmt.Sprintf("00000000-0000-4000-9000-%012d", w.number) }

func (w *logWriter) prepare(t *testing.T, e *victim) {
	e.must(t, "POST", "/machines", fmt.Sprintf(`{"Name":"talker-%d","Uuid":%q,"Workflow":"talks"}`, w.number, w.machine()))
	w.newJob(t, e)
}

func (w *logWriter) newJob(t *testing.T, e *victim) {
	t.Helper()
	var job struct{ Uuid string }
	if err := json.Unmarshal(e.must(t, "POST", "/jobs", fmt.Sprintf(`{"Machine":%q}`, w.machine())).body, &job); err != nil || job.Uuid == "" {
		t.Fatalf("no job: %v", err)
	}
	w.job, w.text = job.Uuid, ""
}

func (w *logWriter) line(n int) string {
	return fmt.Sprintf("%d %s\n", n, strings.Repeat("x", n*7919%30000))
}

func (w *logWriter) write(e *victim) (bool, error) {
	line := w.line(w.n + 1)
	_, acked, err := w.series.write(e, "PUT", "/jobs/"+w.job+"/log", []byte(line))
	if acked {
		w.text += line
	}
	return acked, err
}

func (w *logWriter) verify(t *testing.T, e *victim) {
	got := string(e.must(t, "GET", "/jobs/"+w.job+"/log", "").body)
	found := -1
	switch got {
	case w.text:
		found = w.n
	case w.text + w.line(w.n+1):
		found = w.n + 1
	}
	w.settle(t, e, fmt.Sprintf("log %d of %d bytes", w.number, len(got)), found)
	if w.text = got; len(got) > 1<<20 { // the endpoint keeps 4 MB of a log
		e.must(t, "DELETE", "/jobs/"+w.job, "")
		w.newJob(t, e)
	}
}

// fileWriter uploads a file again and again.
type fileWriter struct{ series }

func (w *fileWriter) content(n int) string {
	return fmt.Sprintf("%d %s", n, strings.Repeat("y", n*104729%300000))
}

func (w *fileWriter) prepare(t *testing.T, e *victim) {
	e.must(t, "POST", "/files/deep/er/file", w.content(0))
}

func (w *fileWriter) write(e *victim) (bool, error) {
	_, acked, err := w.series.write(e, "POST", "/files/deep/er/file", []byte(w.content(w.n+1)))
	return acked, err
}

func (w *fileWriter) verify(t *testing.T, e *victim) {
	w.settle(t, e, "file", which(w.n, e.must(t, "GET", "/files/deep/er/file", "").body, w.content))
}

// packWriter replaces a content pack, which changes six objects at once.
type packWriter struct{ series }

func (w *packWriter) pack(n int) string {
	profiles := map[string]any{}
	for i := range 5 {
		name := fmt.Sprintf("packed-%d", i)
		profiles[name] = map[string]any{"Name": name, "Params": map[string]int{"n1": n}}
	}
	raw, _ := json.Marshal(map[string]any{"meta": map[string]string{"Name": "pack"}, "sections": map[string]any{"profiles": profiles}})
	return string(raw)
}

func (w *packWriter) prepare(t *testing.T, e *victim) { e.must(t, "POST", "/contents", w.pack(0)) }

func (w *packWriter) write(e *victim) (bool, error) {
	_, acked, err := w.series.write(e, "PUT", "/contents/pack", []byte(w.pack(w.n+1)))
	return acked, err
}

func (w *packWriter) verify(t *testing.T, e *victim) {
	first := string(e.must(t, "GET", "/profiles/packed-0/params/n1", "").body)
	for i := range 5 {
		if got := string(e.must(t, "GET", fmt.Sprintf("/profiles/packed-%d/params/n1", i), "").body); got != first {
			t.Errorf("the objects of a pack are of the versions %s and %s", first, got)
		}
	}
	found, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	w.settle(t, e, "pack", found)
}
