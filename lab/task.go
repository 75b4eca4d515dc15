package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"gitlab.com/rackn/provision/v4/models"
)

// Task is one that runs on a machine, as far as the endpoint knows.
type Task struct {
	operator *Operator
	machine  string
	job      string
}

// BeginTask begins the next task of the machine with this UUID, as a runner would.
func (o *Operator) BeginTask(ctx context.Context, machine string) (*Task, error) {
	job := &models.Job{}
	status, err := o.do(ctx, http.MethodPost, "jobs", map[string]string{"Machine": machine}, job)
	if err == nil && status == http.StatusNoContent {
		err = errors.New("expected a task to begin, found none; start a workflow first")
	}
	if err == nil {
		_, err = o.do(ctx, http.MethodPatch, "jobs/"+job.Key(), []op{{"replace", "/State", models.JOB_RUNNING}}, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("machine %s: %w", machine, err)
	}
	return &Task{o, machine, job.Key()}, nil
}

// Finish ends the task well and, if it was the last of the machine's workflow,
// that too: in two requests, as a runner would.
func (t *Task) Finish(ctx context.Context) error {
	_, err := t.operator.do(ctx, http.MethodPatch, "jobs/"+t.job, []op{{"replace", "/State", models.JOB_FINISHED}, {"replace", "/ExitState", "complete"}}, nil)
	if err == nil {
		_, err = t.operator.do(ctx, http.MethodPost, "jobs", map[string]string{"Machine": t.machine}, nil)
	}
	if err != nil {
		return fmt.Errorf("machine %s: %w", t.machine, err)
	}
	return nil
}
