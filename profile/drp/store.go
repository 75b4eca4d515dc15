package drp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gitlab.com/rackn/jp"

	"muster/internal/rawjson"
	"muster/profile"
)

// Store is one profile at the endpoint. It implements profile.Store.
type Store struct {
	client *Client
	name   string
	auth   Auth
}

var _ profile.Store = (*Store)(nil)

// Profile returns the profile of this name, reached with auth. It sends nothing.
func (c *Client) Profile(name string, auth Auth) *Store {
	return &Store{client: c, name: name, auth: auth}
}

// wireProfile is a profile as the endpoint sends it.
type wireProfile struct {
	name   string
	params wireParams
}

func (p *wireProfile) decode(body []byte) error {
	var fault error
	err := rawjson.Each(body, func(name string, value []byte) {
		switch name {
		case "Name":
			fault = errors.Join(fault, json.Unmarshal(value, &p.name))
		case "Params":
			fault = errors.Join(fault, p.params.decode(value))
		}
	})
	return errors.Join(err, fault)
}

// wireParams are params as the endpoint sends them. Their values are parts of
// the body: a large profile is not copied.
type wireParams profile.Params

func (p *wireParams) decode(body []byte) error {
	if string(body) == "null" {
		return nil
	}
	found, err := rawjson.Object(body)
	*p = found
	return err
}

// Read implements profile.Store: one GET.
func (s *Store) Read(ctx context.Context) (*profile.Document, error) {
	return s.whole(ctx, request{method: http.MethodGet})
}

// ReadParams implements profile.Store: one GET of the params route.
func (s *Store) ReadParams(ctx context.Context, names ...string) (profile.Params, error) {
	var found wireParams
	_, err := s.client.do(ctx, request{
		method: http.MethodGet,
		path:   []string{"profiles", s.name, "params"},
		query:  url.Values{"params": {strings.Join(names, ",")}},
		auth:   s.auth,
	}, &found)
	if err != nil {
		return nil, err
	}
	params := profile.Params{}
	for _, n := range names { // whatever else came was not asked for
		if raw, ok := found[n]; ok {
			params[n] = raw
		}
	}
	return params, nil
}

// Apply implements profile.Store: one PATCH of the object URL, because the
// params URL is not atomic (wire contract, fact 1).
func (s *Store) Apply(ctx context.Context, c *profile.Change) (*profile.Document, error) {
	patch, err := encode(c)
	if err != nil {
		return nil, err
	}
	return s.whole(ctx, request{method: http.MethodPatch, body: patch})
}

// Changed implements profile.Store: one HEAD, with a long poll if since is known
// (wire contract, section 5.1).
func (s *Store) Changed(ctx context.Context, since string, wait time.Duration) (string, error) {
	return s.client.changed(ctx, []string{"profiles", s.name}, s.auth, since, wait)
}

// ReadChanged implements profile.Store: one GET that is a long poll (wire contract,
// section 5.1).
func (s *Store) ReadChanged(ctx context.Context, since string, wait time.Duration) (*profile.Document, error) {
	r := request{method: http.MethodGet}
	r.longPoll(since, wait)
	return s.whole(ctx, r)
}

// Create makes the profile with these params, in one request. ErrConflict: it
// exists.
func (s *Store) Create(ctx context.Context, description string, params profile.Params) error {
	_, err := s.client.do(ctx, request{
		method: http.MethodPost,
		path:   []string{"profiles"},
		body:   s.object(description, params),
		auth:   s.auth,
	}, nil)
	return err
}

func (s *Store) object(description string, params profile.Params) map[string]any {
	return map[string]any{"Name": s.name, "Description": description, "Params": params}
}

func (s *Store) whole(ctx context.Context, r request) (*profile.Document, error) {
	r.path, r.auth = []string{"profiles", s.name}, s.auth
	var p wireProfile
	resp, err := s.client.do(ctx, r, &p)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusNotModified {
		return nil, nil
	}
	if p.name != s.name {
		return nil, fmt.Errorf("read profile %q: %w: the answer is about profile %q", s.name, silence(r.writes()), withoutSecrets(p.name, resp.Request))
	}
	if p.params == nil {
		p.params = wireParams{}
	}
	return &profile.Document{Name: p.name, Params: profile.Params(p.params), Version: resp.Header.Get("ETag"), Date: date(resp)}, nil
}

// encode turns a change of params into a patch of the profile object.
func encode(c *profile.Change) (json.RawMessage, error) {
	ops, err := c.Ops()
	if err != nil {
		return nil, err
	}
	return Patch(ops)
}

// Patch returns the JSON Patch of the profile object that does ops, which are
// relative to its params.
func Patch(ops []profile.Op) (json.RawMessage, error) {
	var patcher jp.Patcher
	for _, op := range ops {
		if op.Op == profile.OpNames {
			if err := names(&patcher, op.Value); err != nil {
				return nil, err
			}
			continue
		}
		pointer, err := jp.NewPointer("/Params" + string(op.Path))
		if err != nil {
			return nil, fmt.Errorf("pointer %q: %w", op.Path, err)
		}
		switch op.Op {
		case "remove":
			patcher.Remove(pointer)
		default:
			patcher.Op(op.Op, pointer, nil, op.Value)
		}
	}
	patch, err := patcher.Patch()
	if err != nil {
		return nil, fmt.Errorf("make the patch: %w", err)
	}
	return json.RawMessage(patch), nil
}

func (c *Client) changed(ctx context.Context, path []string, auth Auth, since string, wait time.Duration) (string, error) {
	r := request{method: http.MethodHead, path: path, auth: auth}
	if since != "" {
		r.longPoll(since, wait)
	}
	resp, err := c.do(ctx, r, nil)
	if err != nil {
		return "", err
	}
	if resp.StatusCode == http.StatusNotModified {
		return since, nil
	}
	return resp.Header.Get("ETag"), nil
}

// longPoll makes r wait for a version that differs from since, in whole seconds.
func (r *request) longPoll(since string, wait time.Duration) {
	seconds := int((wait + time.Second - 1) / time.Second) // a wait of 0 would be none
	r.wait = time.Duration(seconds) * time.Second
	r.header = http.Header{"If-None-Match": {since}, "Prefer": {fmt.Sprintf("wait=%d", seconds)}}
}

func date(resp *http.Response) time.Time {
	t, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return time.Unix(0, 0) // epochs then rise by one
	}
	return t
}
