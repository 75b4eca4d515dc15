package render

import (
	"fmt"
	"net/url"
	"text/template"
	"time"

	"gitlab.com/rackn/provision/v4/models"
)

const (
	knownTokenLife = time.Hour     // of GenerateToken, for a known machine
	maxTTL         = 2_000_000_000 // seconds; DRP makes no token that lives longer
)

// dot is the dot of every task template. Its exported methods and fields are the
// template language, as DRP documents it. What a template uses beyond it fails the
// job, with an error that names it.
type dot struct {
	Machine *machine
	Env     *env
	Stage   *models.Stage
	Task    *models.Task

	src    Source
	set    *template.Template // of the template that is rendered now
	limits *limits
}

func newDot(src Source, task *models.Task) *dot {
	d := &dot{Stage: src.Stage, Task: task, src: src, limits: newLimits()}
	d.Machine = &machine{Machine: src.Machine, dot: d}
	if src.BootEnv != nil {
		d.Env = &env{BootEnv: src.BootEnv, dot: d}
	}
	return d
}

// ApiURL is the base address of the API, without /api/v3.
func (d *dot) ApiURL() string { return d.src.APIURL }

// ApiHostURL is ApiURL: the endpoint has no other name than its address.
func (d *dot) ApiHostURL() string { return d.src.APIURL }

// ProvisionerURL is where static files are.
func (d *dot) ProvisionerURL() string { return d.src.ProvisionerURL }

// ProvisionerAddress is the host of ProvisionerURL.
func (d *dot) ProvisionerAddress() (string, error) {
	u, err := url.Parse(d.src.ProvisionerURL)
	if err != nil {
		return "", err
	}
	return u.Hostname(), nil
}

// CurrentJob is the UUID of the job that the templates are rendered for.
func (d *dot) CurrentJob() string { return d.src.Job.Key() }

// GenerateToken is a token of this machine that lasts an hour.
func (d *dot) GenerateToken() (string, error) {
	return d.src.MachineToken(knownTokenLife)
}

// GenerateInfiniteToken is a token of this machine that lasts as long as any: on
// DRP three years.
func (d *dot) GenerateInfiniteToken() (string, error) {
	return d.src.MachineToken(0)
}

// GenerateProfileToken is a token for one profile, which the machine must
// carry in its own Profiles; otherwise a word that says why not, as in DRP.
func (d *dot) GenerateProfileToken(profile string, ttlSeconds int) (string, error) {
	return d.src.ProfileToken(profile, time.Duration(min(ttlSeconds, maxTTL))*time.Second)
}

// ParseUrl is the scheme, the host (with its port) or the path of an URL.
func (d *dot) ParseUrl(segment, raw string) (string, error) {
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
func (d *dot) ParseURL(segment, raw string) (string, error) { return d.ParseUrl(segment, raw) }

// CallTemplate is what a template makes of data. Unlike the template action it
// takes a name that was computed.
func (d *dot) CallTemplate(name string, data any) (string, error) {
	t := d.set.Lookup(name)
	if t == nil {
		return "", fmt.Errorf("no template with ID %q", name)
	}
	return d.execute(t, data)
}
