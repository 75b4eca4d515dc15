package lab

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Sweep deletes the machines whose names begin with name and a hyphen, and then the
// workflow, stage, task and profile of that name. What is not there is left alone;
// so are jobs, which DRP keeps.
func (o *Operator) Sweep(ctx context.Context, name string) error {
	machines, err := o.Machines(ctx)
	if err != nil {
		return err
	}
	g, removing := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for _, m := range machines {
		if strings.HasPrefix(m.Name, name+"-") {
			g.Go(func() error { return o.sweep(removing, "machines", m.UUID) })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, prefix := range []string{"workflows", "stages", "tasks", "profiles"} {
		if err := o.sweep(ctx, prefix, name); err != nil {
			return err
		}
	}
	return nil
}

// sweep deletes one object, if it is there.
func (o *Operator) sweep(ctx context.Context, prefix, key string) error {
	status, err := o.do(ctx, http.MethodDelete, prefix+"/"+url.PathEscape(key), nil, nil)
	if status == http.StatusNotFound {
		return nil
	}
	return err
}
