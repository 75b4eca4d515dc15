// Package drp is the profile contract over the DRP API (wire contract,
// sections 1 to 6). It speaks HTTPS itself, over the types of DRP's models and
// the patches of jp: the library's own client cannot pin a certificate and
// sends patches again after a lost answer.
//
// Guaranteed: a request is sent at most once, but for one whose token the
// endpoint refused, which was not carried out: it is sent again with another
// token, if there is one; every call is bounded in time;
// the endpoint's certificate is verified unless that is switched off; no error
// text holds a token or a dumped param. The outcome of a patch that may have
// reached the endpoint without an answer is reported as unknown, never guessed.
//
// Not guaranteed: that PATCH is atomic. That is observed on DRP 3.13 and
// assumed on 4.x (DESIGN, "Trust and limits").
package drp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"muster/internal/metrics"
	"muster/profile"
)

// Config says where the endpoint is and how it is known.
type Config struct {
	// Endpoint is the URL of the DRP endpoint, as https://HOST:8092.
	Endpoint string
	// CA is the PEM text of the certificates that may vouch for the endpoint;
	// empty takes the system's.
	CA []byte
	// Fingerprint pins the endpoint's own certificate: the SHA-256 of its DER
	// form in hexadecimal, colons allowed. CA is then not looked at.
	Fingerprint string
	// Insecure skips the verification of the endpoint. Say so to the user.
	Insecure bool
	// Timeout bounds a request, beside its long poll; 0 is 10 s.
	Timeout time.Duration
	// Metrics counts requests; nil counts none.
	Metrics *metrics.Set
	// Dial connects to the endpoint; nil uses the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// frameSize is the most that the endpoint may send in one frame of HTTP/2. With the
// nine bytes of its header that makes two TLS records; the usual 16 KiB make a full
// one and one that is nearly empty, and large answers cost both sides an eighth more.
const frameSize = 2*(16<<10) - 9

// Client talks to one endpoint. It is safe for concurrent use. All its requests
// share one HTTP/2 connection, or at most three of HTTP/1.1: two for the long
// polls of profile and machine, so that a write never waits behind one.
type Client struct {
	base    *url.URL
	http    *http.Client
	timeout time.Duration
	metrics *metrics.Set
	rest    rest
}

// New returns a client. It sends nothing. The error says which field of cfg is
// wrong and what was expected.
func New(cfg Config) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(cfg.Endpoint, "/"))
	if err != nil || base.Scheme != "https" || base.Host == "" || base.User != nil {
		found := cfg.Endpoint
		if at := strings.LastIndex(found, "@"); at >= 0 {
			found = "…" + found[at:] // what is before it may be a password
		}
		return nil, fmt.Errorf("endpoint: expected https://HOST:PORT, found %q", found)
	}
	tlsConfig, err := verification(cfg, base.Hostname())
	if err != nil {
		return nil, err
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         cfg.Dial,
		TLSClientConfig:     tlsConfig,
		ForceAttemptHTTP2:   true,
		MaxConnsPerHost:     3,
		TLSHandshakeTimeout: cfg.Timeout,
		IdleConnTimeout:     90 * time.Second,
		// The endpoint's CPU is scarcer than the network to it.
		DisableCompression: true,
		// A connection that died without a word is noticed by pings, and soon: on
		// new ones a lease of a minute can still be renewed.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: cfg.Timeout, MaxReadFrameSize: frameSize},
	}
	return &Client{base: base, timeout: cfg.Timeout, metrics: cfg.Metrics, http: &http.Client{
		Transport: transport,
		// A redirect would carry the token to wherever it points.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Close drops idle connections. Requests under way go on.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func verification(cfg Config, host string) (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	switch {
	case cfg.Insecure:
		t.InsecureSkipVerify = true
	case cfg.Fingerprint != "":
		want, err := hex.DecodeString(strings.ReplaceAll(cfg.Fingerprint, ":", ""))
		if err != nil || len(want) != sha256.Size {
			return nil, fmt.Errorf("fingerprint: expected the SHA-256 of the endpoint's certificate, 64 hexadecimal digits, found %q", cfg.Fingerprint)
		}
		t.InsecureSkipVerify = true // replaced by the comparison below
		t.VerifyConnection = func(s tls.ConnectionState) error {
			found := sha256.Sum256(s.PeerCertificates[0].Raw)
			if !bytes.Equal(found[:], want) {
				return fmt.Errorf("the certificate of %s is not the pinned one: expected SHA-256 %s, found %s; if it was renewed on purpose, pin the new one: `fingerprint` in muster.yaml, `muster install --fingerprint …`, or param muster/fingerprint and workflow muster-bootstrap", host, colons(want), colons(found[:]))
			}
			return nil
		}
	case len(cfg.CA) > 0:
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(cfg.CA) {
			return nil, errors.New("ca_file: expected certificates in PEM form, found none")
		}
	}
	return t, nil
}

// colons writes a fingerprint as openssl does; so it is also told from a token.
func colons(sum []byte) string {
	return strings.ReplaceAll(fmt.Sprintf("% X", sum), " ", ":")
}

// request is one call of the API.
type request struct {
	method string
	path   []string // below /api/v3, unescaped
	query  url.Values
	body   any // sent as JSON unless nil
	header http.Header
	wait   time.Duration // of a long poll, on top of the time-out
	auth   Auth
}

// maxBody bounds what is read of an answer: far above the largest profile that
// is of use.
const maxBody = 256 << 20

// do sends r and decodes a JSON answer into out unless out is nil. The error is
// one of package profile's sentinels, wrapped. Status 304 is no error.
func (c *Client) do(ctx context.Context, r request, out any) (*http.Response, error) {
	resp, err := c.send(ctx, r, out)
	switch {
	case r.auth == nil || resp == nil:
	case err == nil:
		r.auth.taken(resp.Request)
	case errors.Is(err, profile.ErrRefused) && r.auth.refused(resp.Request):
		c.metrics.Add(metrics.TokenRetries, 1)
		return c.send(ctx, r, out)
	}
	return resp, err
}

// send sends r once.
func (c *Client) send(ctx context.Context, r request, out any) (*http.Response, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout+r.wait, fmt.Errorf("no answer within %s", c.timeout+r.wait))
	defer cancel()
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaders: func() { sent.Store(true) },
		GotConn:      func(httptrace.GotConnInfo) { sent.Store(true) }, // safer than waiting for the headers
	})
	req, err := c.build(ctx, r)
	if err != nil {
		return nil, err
	}
	what := r.method + " " + strings.Join(r.path, "/")
	if left := c.rest.left(); left > 0 {
		return nil, fmt.Errorf("%s: %w: %s wants no requests for another %s", what, profile.ErrUnavailable, c.base.Host, left.Round(time.Second))
	}
	c.metrics.Add(metrics.SentBytes, float64(max(0, req.ContentLength)))
	resp, err := c.http.Do(req)
	if err != nil {
		c.metrics.Add(metrics.Requests, 1, r.method, "none")
		return nil, fmt.Errorf("%s: %w", what, c.transportError(ctx, err, r.writes() && sent.Load()))
	}
	defer resp.Body.Close()
	body, err := readBody(resp)
	c.metrics.Add(metrics.Requests, 1, r.method, fmt.Sprintf("%dxx", resp.StatusCode/100))
	c.metrics.Add(metrics.ReceivedBytes, float64(len(body)))
	if err != nil {
		return nil, fmt.Errorf("%s: read the answer: %w", what, c.transportError(ctx, err, r.writes()))
	}
	c.rest.heed(resp)
	if err := answerError(resp, body, r); err != nil {
		if errors.Is(err, profile.ErrConflict) {
			c.metrics.Add(metrics.Conflicts, 1)
		}
		return resp, fmt.Errorf("%s: %w", what, err)
	}
	if out != nil && resp.StatusCode != http.StatusNotModified {
		if err := decode(body, out); err != nil {
			return resp, fmt.Errorf("%s: %w: the answer is not what DRP sends (%v)", what, silence(r.writes()), err)
		}
	}
	return resp, nil
}

// readBody reads an answer, into a buffer that is of its size if that is known.
func readBody(resp *http.Response) ([]byte, error) {
	var body bytes.Buffer
	// To HEAD, and with 304, the size is that of a body that does not come.
	none := resp.Request.Method == http.MethodHead || resp.StatusCode == http.StatusNotModified
	if size := resp.ContentLength; size > 0 && size <= maxBody && !none {
		body.Grow(int(size) + bytes.MinRead) // else the end is looked for in a larger buffer
	}
	_, err := body.ReadFrom(io.LimitReader(resp.Body, maxBody))
	return body.Bytes(), err
}

// decode decodes an answer into out.
func decode(body []byte, out any) error {
	if d, ok := out.(interface{ decode([]byte) error }); ok { // of what is large
		return d.decode(body)
	}
	return json.Unmarshal(body, out)
}

func (r request) writes() bool { return r.method != http.MethodGet && r.method != http.MethodHead }

func (c *Client) build(ctx context.Context, r request) (*http.Request, error) {
	var body io.Reader
	if r.body != nil {
		raw, err := json.Marshal(r.body)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", path.Join(r.path...), err)
		}
		body = bytes.NewReader(raw)
	}
	escaped := make([]string, len(r.path))
	for i, p := range r.path {
		if p == "" || p == "." || p == ".." {
			return nil, fmt.Errorf("%w: %q cannot be part of a DRP path", profile.ErrInvalid, p)
		}
		escaped[i] = url.PathEscape(p)
	}
	u := c.base.String() + "/api/v3/" + strings.Join(escaped, "/")
	if len(r.query) > 0 {
		u += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u, body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", profile.ErrInvalid, err)
	}
	req.GetBody = nil // nothing may send it a second time
	for k, v := range r.header {
		req.Header[k] = v
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "muster")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.auth != nil {
		if err := r.auth.sign(req); err != nil {
			return nil, err
		}
	}
	return req, nil
}

// transportError tells a request that surely was not carried out from one that
// may have been.
func (c *Client) transportError(ctx context.Context, err error, mayBeDone bool) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return fmt.Errorf("%w: %s: %w", silence(mayBeDone), c.base.Host, err)
}

// silence is the sentinel for an answer that did not come or says nothing.
func silence(mayBeDone bool) error {
	if mayBeDone {
		return profile.ErrUnknownOutcome
	}
	return profile.ErrUnavailable
}
