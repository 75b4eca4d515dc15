//go:build unix

package lab_test

import (
	"crypto/tls"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"gitlab.com/rackn/provision/v4/models"
)

// DRP's agent panics if it is told to end before it has opened its event stream,
// and is then stuck. What makes it wait before that is an old feature flag, with
// which it writes first, and an endpoint that does not answer.
func TestRunnerThatIsToldToEndBeforeItBeganDoesNotWaitForATask(t *testing.T) {
	st := newSite(t, "")
	st.workflow([]string{"true"})
	m := st.machine("node1")
	st.patch(m, func(m *models.Machine) { m.Meta = models.Meta{"feature-flags": "original-change-stage"} })
	target, err := url.Parse(st.server.URL())
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(target)
	forward.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	held, release := make(chan struct{}, 1), make(chan struct{})
	front := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch {
			select {
			case held <- struct{}{}:
			default:
			}
			<-release
			return
		}
		forward.ServeHTTP(w, r)
	}))
	defer front.Close()
	defer close(release)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}
	if err := os.WriteFile(ca, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	p := st.start(m, "TEST_ENDPOINT="+front.URL, "TEST_CA="+ca, "TEST_STOP_WAIT=1h")
	var reached bool
	st.until(func() string { return "it writes nothing:\n" + p.out.String() }, func() bool {
		select {
		case <-held:
			reached = true
		default:
		}
		return reached
	})
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.wait(); err != nil {
		t.Errorf("it waits for what never ran: %v\n%s", err, p.out)
	}
}
