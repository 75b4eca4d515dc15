package lab

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint"
	"muster/internal/redact"
)

// requestTimeout bounds one request of an Operator.
const requestTimeout = 30 * time.Second

// ErrAccess is returned for a configuration by which an Operator cannot work.
var ErrAccess = errors.New("access")

// OperatorConfig says which endpoint an Operator works on, and as whom.
type OperatorConfig struct {
	// Endpoint is https://HOST:PORT; empty is endpoint.DefaultListen on this host.
	Endpoint string
	// CAFile has the certificates, in PEM, that may vouch for the endpoint; empty
	// is those of the system. An endpoint on a loopback address need not be
	// vouched for while the credentials are the ones that every fresh DRP endpoint
	// has, since there is no secret then that a wrong endpoint could learn.
	CAFile string
	// Token, or else User and Password; empty is DRP's default user.
	Token, User, Password string

	unverified bool // found by NewOperator
}

// Operator does by hand, through DRP's API, what there is to do on an endpoint
// when people try coordination: any DRP endpoint will do. Its calls send every
// request once, take 30 s at most for each, and return DRP's refusals with the
// message, in which what may be a token is redacted. It is safe for concurrent use.
type Operator struct {
	base string
	cfg  OperatorConfig
	http *http.Client
}

// NewOperator returns an Operator. It sends nothing. What is wrong with cfg is
// ErrAccess.
func NewOperator(cfg OperatorConfig) (*Operator, error) {
	if cfg.Endpoint == "" {
		cfg.Endpoint = "https://" + endpoint.DefaultListen
	}
	base, err := url.Parse(strings.TrimRight(cfg.Endpoint, "/"))
	if err != nil || base.Scheme != "https" || base.Host == "" || base.User != nil {
		return nil, fmt.Errorf("%w: endpoint: expected https://HOST:PORT without a user", ErrAccess)
	}
	if cfg.Token == "" && cfg.User == "" {
		cfg.User, cfg.Password = endpoint.DefaultUser, endpoint.DefaultPassword
	}
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.CAFile != "" {
		pem, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("%w: CA file: %w", ErrAccess, err)
		}
		trust.RootCAs = x509.NewCertPool()
		if !trust.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%w: CA file: expected certificates in PEM form in %s, found none", ErrAccess, cfg.CAFile)
		}
	} else {
		trust.InsecureSkipVerify = loopback(base.Hostname()) && cfg.public()
		cfg.unverified = trust.InsecureSkipVerify
	}
	return &Operator{base: base.String(), cfg: cfg, http: &http.Client{
		Timeout: requestTimeout,
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: trust, ForceAttemptHTTP2: true, TLSHandshakeTimeout: requestTimeout,
		},
		// A redirect would carry the credentials to wherever it points.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Access says where the endpoint is and how it is known, for others who go there.
func (o *Operator) Access() (url, caFile string, insecure bool) {
	return o.base, o.cfg.CAFile, o.cfg.unverified
}

// OwnToken is a token with the Operator's own powers: the one that it was given,
// or one that is good for ttl.
func (o *Operator) OwnToken(ctx context.Context, ttl time.Duration) (string, error) {
	if o.cfg.Token != "" {
		return o.cfg.Token, nil
	}
	return o.UserToken(ctx, o.cfg.User, ttl)
}

// Close ends idle connections.
func (o *Operator) Close() { o.http.CloseIdleConnections() }

// public says that everybody knows the credentials.
func (c OperatorConfig) public() bool {
	return c.Token == "" && c.User == endpoint.DefaultUser && c.Password == endpoint.DefaultPassword
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// UserToken makes a token of a user, good for ttl.
func (o *Operator) UserToken(ctx context.Context, user string, ttl time.Duration) (string, error) {
	return o.token(ctx, "users", user, ttl)
}

// MachineToken makes a token of the machine with this UUID or name, good for ttl.
// DRP 3.13 has no API for that.
func (o *Operator) MachineToken(ctx context.Context, machine string, ttl time.Duration) (string, error) {
	m, err := o.machine(ctx, machine)
	if err != nil {
		return "", err
	}
	return o.token(ctx, "machines", m.Key(), ttl)
}

func (o *Operator) token(ctx context.Context, prefix, key string, ttl time.Duration) (string, error) {
	var t models.UserToken
	seconds := strconv.FormatInt(int64(ttl/time.Second), 10)
	_, err := o.do(ctx, http.MethodGet, prefix+"/"+url.PathEscape(key)+"/token?ttl="+seconds, nil, &t)
	if err == nil && t.Token == "" {
		err = errors.New("the endpoint answers without a token")
	}
	return t.Token, err
}

// op is one operation of a JSON Patch.
type op struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// do sends a request once; path is escaped. It decodes the answer into out, unless
// that is nil or there is none, and returns the status.
func (o *Operator) do(ctx context.Context, method, path string, body, out any) (status int, err error) {
	raw, kind := []byte(nil), "application/json"
	switch b := body.(type) {
	case nil:
	case []byte:
		raw, kind = b, "application/octet-stream"
	default:
		if raw, err = json.Marshal(b); err != nil {
			return 0, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, o.base+"/api/v3/"+path, bytes.NewReader(raw))
	if err != nil {
		return 0, err
	}
	req.GetBody = nil // nothing may send it a second time
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", kind)
	}
	if o.cfg.Token != "" {
		req.Header.Set("Authorization", "Bearer "+o.cfg.Token)
	} else {
		req.SetBasicAuth(o.cfg.User, o.cfg.Password)
	}
	resp, err := o.http.Do(req)
	if err != nil {
		return 0, o.noAnswer(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, o.noAnswer(err)
	}
	what := method + " " + strings.SplitN(path, "?", 2)[0]
	if resp.StatusCode/100 != 2 {
		return resp.StatusCode, fmt.Errorf("%s: %w", what, refusalOf(resp.StatusCode, answer))
	}
	if out != nil && len(answer) > 0 {
		if err := json.Unmarshal(answer, out); err != nil {
			return 0, fmt.Errorf("%s: the answer is not what DRP sends: %w", what, err)
		}
	}
	return resp.StatusCode, nil
}

func (o *Operator) noAnswer(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	hint := ""
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		hint = "; name a file with the endpoint's certificate, as `muster-lab endpoint serve --ca-file` writes it"
	}
	return fmt.Errorf("%s: %w%s", o.base, err, hint)
}

// refusalOf is DRP's error without what may be a token: DRP echoes those.
func refusalOf(status int, body []byte) error {
	e := models.Error{}
	if json.Unmarshal(body, &e) != nil || len(e.Messages) == 0 {
		return fmt.Errorf("status %d", status)
	}
	return fmt.Errorf("%s (%d)", redact.Tokens(strings.Join(e.Messages, "; ")), status)
}
