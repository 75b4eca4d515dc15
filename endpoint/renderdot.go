package endpoint

import (
	"errors"
	"fmt"
	"net/url"
	"text/template"
	"time"

	"gitlab.com/rackn/provision/v4/models"
)

// renderSource is all that rendering needs to know of the endpoint. Its functions
// are called while templates execute, without any lock held.
type renderSource struct {
	job            *models.Job
	machine        *models.Machine
	env            *models.BootEnv // that the machine boots into, nil if it is gone
	stage          *models.Stage   // that the machine is in, nil if it is gone
	templates      []*models.Template
	apiURL         string
	provisionerURL string

	// param looks a param up as the machine sees it: own, profiles, stage,
	// global, schema default.
	param func(key string) (any, bool)
	// params are all values that param chooses from, nearest first.
	params func(key string) []any
	// machineToken makes a token of the machine.
	machineToken func(ttl time.Duration) (string, error)
	// profileToken makes a token for a profile, or returns ErrTokenNotAllowed
	// and what to render instead.
	profileToken func(profile string, ttl time.Duration) (string, error)
}

// knownTokenLife is how long GenerateToken lasts for a known machine.
const knownTokenLife = time.Hour

// renderDot is the dot of every task template. Its exported methods and
// fields are the template language of the endpoint, as DRP documents it. What a
// template uses beyond it fails the job, with an error that names it. Package
// repositories (Repos, MachineRepos, InstallRepos) are left out: nothing boots or
// is installed here.
type renderDot struct {
	Machine *renderMachine
	Env     *renderEnv
	Stage   *models.Stage
	Task    *models.Task

	src    renderSource
	set    *template.Template // of the template that is rendered now
	limits *renderLimits
}

func newRenderDot(src renderSource, task *models.Task) *renderDot {
	d := &renderDot{Stage: src.stage, Task: task, src: src, limits: newRenderLimits()}
	d.Machine = &renderMachine{Machine: src.machine, dot: d}
	if src.env != nil {
		d.Env = &renderEnv{BootEnv: src.env, dot: d}
	}
	return d
}

// ApiURL is the base address of the API, without /api/v3.
func (d *renderDot) ApiURL() string { return d.src.apiURL }

// ApiHostURL is ApiURL: the endpoint has no other name than its address.
func (d *renderDot) ApiHostURL() string { return d.src.apiURL }

// ProvisionerURL is where static files are.
func (d *renderDot) ProvisionerURL() string { return d.src.provisionerURL }

// ProvisionerAddress is the host of ProvisionerURL.
func (d *renderDot) ProvisionerAddress() (string, error) {
	u, err := url.Parse(d.src.provisionerURL)
	if err != nil {
		return "", err
	}
	return u.Hostname(), nil
}

// CurrentJob is the UUID of the job that the templates are rendered for.
func (d *renderDot) CurrentJob() string { return d.src.job.Key() }

// GenerateToken is a token of this machine that lasts an hour.
func (d *renderDot) GenerateToken() (string, error) {
	return d.src.machineToken(knownTokenLife)
}

// GenerateInfiniteToken is a token of this machine that lasts three years.
func (d *renderDot) GenerateInfiniteToken() (string, error) {
	return d.src.machineToken(machineTokenLife)
}

// GenerateProfileToken is a token for one profile, which the machine must
// carry in its own Profiles; otherwise a word that says why not, as in DRP.
func (d *renderDot) GenerateProfileToken(profile string, ttlSeconds int) (string, error) {
	ttl := time.Duration(min(ttlSeconds, int(profileTokenLife/time.Second))) * time.Second
	token, err := d.src.profileToken(profile, ttl)
	if errors.Is(err, ErrTokenNotAllowed) {
		return token, nil
	}
	return token, err
}

// ParseUrl is the scheme, the host (with its port) or the path of an URL.
func (d *renderDot) ParseUrl(segment, raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", err
	}
	switch segment {
	case "scheme":
		return u.Scheme, nil
	case "host":
		return u.Host, nil
	case "path":
		return u.Path, nil
	}
	return "", fmt.Errorf("expected scheme, host or path, found %q", segment)
}

// ParseURL is ParseUrl under the name that DRP's documentation has.
func (d *renderDot) ParseURL(segment, raw string) (string, error) { return d.ParseUrl(segment, raw) }

// CallTemplate is what a template makes of data. Unlike the template action it
// takes a name that was computed.
func (d *renderDot) CallTemplate(name string, data any) (string, error) {
	t := d.set.Lookup(name)
	if t == nil {
		return "", fmt.Errorf("no template with ID %q", name)
	}
	return d.execute(t, data)
}
