package endpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/template"
	"time"

	"gitlab.com/rackn/provision/v4/models"
)

// renderSource is all that rendering needs to know of the endpoint. Its
// functions are called while templates execute, so they must not start a
// transaction of their own.
type renderSource struct {
	machine        *models.Machine
	templates      []*models.Template
	apiURL         string
	provisionerURL string

	// param looks a param up as the machine sees it: own, profiles, stage,
	// global, schema default.
	param func(key string) (any, bool)
	// machineToken makes a token of the machine.
	machineToken func(ttl time.Duration) (string, error)
	// profileToken makes a token for a profile, or returns ErrTokenNotAllowed
	// and what to render instead.
	profileToken func(profile string, ttl time.Duration) (string, error)
}

// knownTokenLife is how long GenerateToken lasts for a known machine.
const knownTokenLife = time.Hour

// renderDot is the dot of every task template. Its exported methods and
// fields are the template language of the endpoint.
type renderDot struct {
	Machine *models.Machine
	Task    *models.Task
	src     renderSource
}

// Param is the aggregated value of a param; an unset param without a default
// in its schema is an error, which fails the job.
func (d *renderDot) Param(key string) (any, error) {
	v, ok := d.src.param(key)
	if !ok {
		return nil, fmt.Errorf("no such param %s", key)
	}
	return v, nil
}

// ParamExists says whether Param would find a value.
func (d *renderDot) ParamExists(key string) bool {
	_, ok := d.src.param(key)
	return ok
}

// ParamAsJSON is Param, encoded as JSON.
func (d *renderDot) ParamAsJSON(key string) (string, error) {
	v, err := d.Param(key)
	if err != nil {
		return "", err
	}
	b, err := json.Marshal(v)
	return string(b), err
}

// ApiURL is the base address of the API, without /api/v3.
func (d *renderDot) ApiURL() string { return d.src.apiURL }

// ProvisionerURL is where a DRP server has its static files. The endpoint
// serves none; the address is given so that templates which mention it render.
func (d *renderDot) ProvisionerURL() string { return d.src.provisionerURL }

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

// renderActions renders the templates of a task for one target operating
// system ("" for all). An error names the task and the template.
func renderActions(src renderSource, task *models.Task, targetOS string) (models.JobActions, error) {
	missing := []string{}
	for _, key := range task.RequiredParams {
		if _, ok := src.param(key); !ok {
			missing = append(missing, key)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("task %s: missing required params: %s", task.Name, strings.Join(missing, ", "))
	}
	root, broken := parseTemplates(src.templates)
	dot := &renderDot{Machine: src.machine, Task: task, src: src}
	actions := models.JobActions{}
	for _, info := range task.Templates {
		action, err := renderOne(root, dot, info)
		if err != nil {
			return nil, fmt.Errorf("task %s: template %s: %w", task.Name, info.Name, errors.Join(err, broken))
		}
		if action.ValidForOS(targetOS) {
			actions = append(actions, action)
		}
	}
	return actions, nil
}

// parseTemplates makes one set of all template objects, so that they can call
// each other. One that does not parse is left out: it must not break tasks
// that have nothing to do with it. What was wrong is returned to be shown
// beside the error of a task that fails.
func parseTemplates(all []*models.Template) (*template.Template, error) {
	root := template.New("").Funcs(models.DrpSafeFuncMap())
	var broken error
	for _, t := range all {
		_, err := root.New(t.ID).Delims(t.StartDelimiter, t.EndDelimiter).Parse(t.Contents)
		broken = errors.Join(broken, err)
	}
	return root, broken
}

func renderOne(root *template.Template, dot *renderDot, info models.TemplateInfo) (*models.JobAction, error) {
	// Blocks that one template defines must not leak into the next.
	set, err := root.Clone()
	if err != nil {
		return nil, err
	}
	path, err := expand(set, dot, info, "path", info.Path)
	if err != nil {
		return nil, fmt.Errorf("path: %w", err)
	}
	action := &models.JobAction{Name: info.Name, Path: path, Meta: info.Meta}
	if info.ID != "" {
		if set.Lookup(info.ID) == nil {
			return nil, fmt.Errorf("no template with ID %q", info.ID)
		}
		var out strings.Builder
		err = set.ExecuteTemplate(&out, info.ID, dot)
		action.Content = out.String()
		return action, err
	}
	action.Content, err = expand(set, dot, info, "contents", info.Contents)
	return action, err
}

// expand parses and executes text that belongs to a task itself.
func expand(set *template.Template, dot *renderDot, info models.TemplateInfo, part, text string) (string, error) {
	// No template object has an ID with a colon, so the names cannot collide.
	t, err := set.New(info.Name+":"+part).Delims(info.StartDelimiter, info.EndDelimiter).Parse(text)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	err = t.Execute(&out, dot)
	return out.String(), err
}
