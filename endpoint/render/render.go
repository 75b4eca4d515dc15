package render

import (
	"errors"
	"fmt"
	"strings"
	"text/template"

	"gitlab.com/rackn/provision/v4/models"
)

// Actions renders the templates of a task for one target operating system ("" for
// all). An error names the task, and the template or the required params that the
// machine lacks.
func Actions(src Source, task *models.Task, targetOS string) (models.JobActions, error) {
	missing := []string{}
	for _, key := range task.RequiredParams {
		if _, ok := src.Param(key); !ok {
			missing = append(missing, key)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("task %s: missing required params: %s", task.Name, strings.Join(missing, ", "))
	}
	d := newDot(src, task)
	root, broken := parseTemplates(src.Templates, task.Templates, d.limits)
	actions := models.JobActions{}
	for _, info := range task.Templates {
		action, err := d.action(root, info)
		if err != nil {
			return nil, fmt.Errorf("task %s: template %s: %w", task.Name, info.Name, errors.Join(err, broken))
		}
		if action.ValidForOS(targetOS) {
			actions = append(actions, action)
		}
	}
	return actions, nil
}

// One renders the one template that info holds or, by its ID, names, and returns its
// text. An error names the template.
func One(src Source, info models.TemplateInfo) (string, error) {
	d := newDot(src, nil)
	root, _ := parseTemplates(src.Templates, nil, d.limits)
	action, err := d.action(root, info)
	if err != nil {
		return "", fmt.Errorf("template %s: %w", info.Name, err)
	}
	return action.Content, nil
}

// Check returns an error if a template object cannot be parsed.
func Check(t *models.Template) error {
	_, err := parseTemplates([]*models.Template{t}, nil, newLimits())
	return err
}

// parseTemplates makes one set of all template objects, by their IDs, and of what
// a task holds itself, by name, so that they can call each other. A template object
// that does not parse is left out: it must not break tasks that have nothing to do
// with it. What was wrong is returned to be shown beside the error of a task that
// fails.
func parseTemplates(all []*models.Template, own []models.TemplateInfo, limits *limits) (*template.Template, error) {
	root := template.New("").Funcs(limits.funcs()).Option("missingkey=error")
	var broken error
	for _, t := range all {
		_, err := parseText(root.New(t.ID).Delims(t.StartDelimiter, t.EndDelimiter), t.Contents)
		broken = errors.Join(broken, err)
	}
	for _, info := range own {
		if info.ID != "" || root.Lookup(info.Name) != nil {
			continue
		}
		// What is wrong with it is told when it is its turn.
		_, _ = parseText(root.New(info.Name).Delims(info.StartDelimiter, info.EndDelimiter), info.Contents)
	}
	return root, broken
}

// action renders a template of a task, or one that info names by its ID.
func (d *dot) action(root *template.Template, info models.TemplateInfo) (*models.JobAction, error) {
	// Blocks that one template defines must not leak into the next.
	set, err := root.Clone()
	if err != nil {
		return nil, err
	}
	d.set = set
	path, err := d.expand(info, "path", info.Path)
	if err != nil {
		return nil, fmt.Errorf("path: %w", err)
	}
	action := &models.JobAction{Name: info.Name, Path: path, Meta: info.Meta}
	if info.ID != "" {
		action.Content, err = d.CallTemplate(info.ID, d)
		return action, err
	}
	action.Content, err = d.expand(info, "contents", info.Contents)
	return action, err
}

// expand parses and executes text that belongs to a task itself.
func (d *dot) expand(info models.TemplateInfo, part, text string) (string, error) {
	// No template object has an ID with a colon, so the names cannot collide.
	t, err := parseText(d.set.New(info.Name+":"+part).Delims(info.StartDelimiter, info.EndDelimiter), text)
	if err != nil {
		return "", err
	}
	return d.execute(t, d)
}

// execute runs a template within what the rendering of one task may use.
func (d *dot) execute(t *template.Template, data any) (string, error) {
	d.limits.instrument(d.set)
	out := &output{limits: d.limits}
	err := t.Execute(out, data)
	return out.text.String(), err
}
