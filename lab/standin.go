package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"gitlab.com/rackn/provision/v4/models"

	"muster/profile"
)

// Env is the environment by which the commands of muster work on the same endpoint,
// with the same credentials. What vouches for the endpoint is not in it.
func (o *Operator) Env() []string {
	if o.cfg.Token != "" {
		return []string{"RS_ENDPOINT=" + o.base, "RS_TOKEN=" + o.cfg.Token}
	}
	return []string{"RS_ENDPOINT=" + o.base, "RS_KEY=" + o.cfg.User + ":" + o.cfg.Password}
}

// URL is where the endpoint is.
func (o *Operator) URL() string { return o.base }

// Fingerprint is the SHA-256 of the certificate of the endpoint, which was verified as
// for every request, in hexadecimal: for clients that pin it.
func (o *Operator) Fingerprint(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.base+"/api/v3/info", nil)
	if err != nil {
		return "", err
	}
	resp, err := o.http.Do(req) // without credentials: an answer of any kind has a certificate
	if err != nil {
		return "", o.noAnswer(err)
	}
	resp.Body.Close()
	sum := sha256.Sum256(resp.TLS.PeerCertificates[0].Raw)
	return hex.EncodeToString(sum[:]), nil
}

// Profile reads a cluster profile.
func (o *Operator) Profile(ctx context.Context, name string) (*profile.Document, error) {
	var p struct{ Params profile.Params }
	if _, err := o.do(ctx, http.MethodGet, "profiles/"+url.PathEscape(name), nil, &p); err != nil {
		return nil, err
	}
	return &profile.Document{Name: name, Params: p.Params}, nil
}

// RemoveWorkflow deletes a workflow and its stage of the same name, as AddWorkflow makes
// them, and these tasks. No machine may have the workflow.
func (o *Operator) RemoveWorkflow(ctx context.Context, name string, tasks ...string) error {
	paths := []string{"workflows/" + url.PathEscape(name), "stages/" + url.PathEscape(name)}
	for _, t := range tasks {
		paths = append(paths, "tasks/"+url.PathEscape(t))
	}
	var faults []error
	for _, path := range paths {
		_, err := o.do(ctx, http.MethodDelete, path, nil, nil)
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// Leave takes the workflow of the machine with this UUID or name away.
func (o *Operator) Leave(ctx context.Context, machine string) error {
	m, err := o.machine(ctx, machine)
	if err != nil {
		return err
	}
	return o.patchMachine(ctx, m, op{"replace", "/Workflow", ""})
}

// AddTokenWorkflow makes a workflow of one task, called name, that MemberTokens needs.
func (o *Operator) AddTokenWorkflow(ctx context.Context, name, profileName string, seconds int) error {
	script := fmt.Sprintf("{{ .GenerateProfileToken %q %d }}\n{{ .GenerateInfiniteToken }}\n", profileName, seconds)
	if _, err := o.ensure(ctx, task(name, script)); err != nil {
		return err
	}
	return o.AddWorkflow(ctx, name)
}

// MemberTokens returns a profile token and a machine token of a machine that carries
// the profile: what the template of AddTokenWorkflow renders to for the machine, which
// is the one way that there is on every DRP endpoint. The machine runs that workflow,
// completes it and has none then.
func (o *Operator) MemberTokens(ctx context.Context, machine, workflow string) (shared, own string, err error) {
	if _, err := o.StartWorkflow(ctx, workflow, machine); err != nil {
		return "", "", err
	}
	m, err := o.machine(ctx, machine)
	if err != nil {
		return "", "", err
	}
	job, err := o.nextJob(ctx, m)
	if err == nil && job == nil {
		err = fmt.Errorf("machine %s: the endpoint has no job for it, though workflow %s was started", m.Name, workflow)
	}
	if err != nil {
		return "", "", err
	}
	var actions []models.JobAction
	if _, err := o.do(ctx, http.MethodGet, "jobs/"+job.Key()+"/actions?os=linux", nil, &actions); err != nil {
		return "", "", err
	}
	if len(actions) == 1 {
		_, err = fmt.Sscan(actions[0].Content, &shared, &own)
	}
	if err != nil || own == "" {
		return "", "", fmt.Errorf("machine %s: expected two rendered tokens, found something else: does the machine carry the profile?", m.Name)
	}
	if _, err := o.CompleteWorkflow(ctx, m.Key()); err != nil {
		return "", "", err
	}
	return shared, own, o.Leave(ctx, m.Key())
}
