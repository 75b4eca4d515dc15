package render

import (
	"encoding/json"
	"fmt"
	"reflect"

	"gopkg.in/yaml.v2"
)

// Param is the aggregated value of a param; an unset param without a default
// in its schema is an error, which fails the job. Secure params are opened.
func (d *dot) Param(key string) (any, error) {
	v, ok := d.src.Param(key)
	if !ok {
		return nil, fmt.Errorf("no such param %s", key)
	}
	d.limits.charge("Param", sizeOf(reflect.ValueOf(v)).bytes)
	return v, nil
}

// ParamExists says whether Param would find a value.
func (d *dot) ParamExists(key string) bool {
	_, ok := d.src.Param(key)
	return ok
}

// ParamAsJSON is Param, encoded as JSON.
func (d *dot) ParamAsJSON(key string) (string, error) {
	v, err := d.Param(key)
	if err != nil {
		return "", err
	}
	d.limits.charge("ParamAsJSON", sizeOf(reflect.ValueOf(v)).asText())
	b, err := json.Marshal(v)
	return string(b), err
}

// ParamAsYAML is Param, encoded as YAML.
func (d *dot) ParamAsYAML(key string) (string, error) {
	v, err := d.Param(key)
	if err != nil {
		return "", err
	}
	d.limits.charge("ParamAsYAML", sizeOf(reflect.ValueOf(v)).asText())
	b, err := yaml.Marshal(v)
	return string(b), err
}

// ParamExpand is Param, every text of which, but for the keys of maps, is itself a
// template.
func (d *dot) ParamExpand(key string) (any, error) {
	v, err := d.Param(key)
	if err != nil {
		return nil, err
	}
	return d.expandValue(key, v)
}

// ParamCompose is the value of a param put together from everywhere that the
// machine could have it from, nearest first and the default last: lists are
// appended, maps are merged, of everything else the nearest counts.
func (d *dot) ParamCompose(key string) (any, error) {
	values := d.src.Params(key)
	if len(values) == 0 {
		return nil, fmt.Errorf("no such param %s", key)
	}
	res := values[0]
	for _, v := range values[1:] {
		res = compose(res, v)
	}
	d.limits.charge("ParamCompose", sizeOf(reflect.ValueOf(res)).bytes)
	return res, nil
}

// ComposeParam is ParamCompose; DRP's documentation has both names.
func (d *dot) ComposeParam(key string) (any, error) { return d.ParamCompose(key) }

// ParamComposeExpand is ParamCompose, expanded as by ParamExpand.
func (d *dot) ParamComposeExpand(key string) (any, error) {
	v, err := d.ParamCompose(key)
	if err != nil {
		return nil, err
	}
	return d.expandValue(key, v)
}

// compose puts what is far behind, or for a map below, what is near.
func compose(near, far any) any {
	switch n := near.(type) {
	case []any:
		if f, ok := far.([]any); ok {
			return append(append([]any{}, n...), f...)
		}
	case map[string]any:
		f, ok := far.(map[string]any)
		if !ok {
			return near
		}
		res := map[string]any{}
		for key, v := range f {
			res[key] = v
		}
		for key, v := range n {
			if below, ok := f[key]; ok {
				v = compose(v, below)
			}
			res[key] = v
		}
		return res
	}
	return near
}

// expandValue renders every text in the value of a param.
func (d *dot) expandValue(key string, v any) (any, error) {
	var err error
	switch v := v.(type) {
	case string:
		set, err := d.set.Clone()
		if err != nil {
			return nil, err
		}
		t, err := parseText(set.New("param "+key), v)
		if err != nil {
			return nil, err
		}
		// What the text defines is for itself only.
		outer := d.set
		d.set = set
		defer func() { d.set = outer }()
		return d.execute(t, d)
	case []any:
		res := make([]any, len(v))
		for i := range v {
			if res[i], err = d.expandValue(key, v[i]); err != nil {
				return nil, err
			}
		}
		return res, nil
	case map[string]any:
		res := map[string]any{}
		for name, part := range v {
			if res[name], err = d.expandValue(key, part); err != nil {
				return nil, err
			}
		}
		return res, nil
	}
	return v, nil
}
