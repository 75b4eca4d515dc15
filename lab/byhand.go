package lab

import (
	"context"
	"fmt"
	"net/http"

	"gitlab.com/rackn/provision/v4/models"
)

// AddWorkflow makes a workflow of one stage, both called name, and those of its
// tasks that are not there: without a script, so that a runner that gets one has
// nothing to do. Without tasks it has one, also called name. The stage and the
// workflow must not be there.
func (o *Operator) AddWorkflow(ctx context.Context, name string, tasks ...string) error {
	if len(tasks) == 0 {
		tasks = []string{name}
	}
	for _, t := range tasks {
		if _, err := o.ensure(ctx, &models.Task{Name: t}); err != nil {
			return err
		}
	}
	for _, m := range []models.Model{
		&models.Stage{Name: name, Tasks: tasks},
		&models.Workflow{Name: name, Stages: []string{name}},
	} {
		if _, err := o.do(ctx, http.MethodPost, m.Prefix(), m, nil); err != nil {
			return err
		}
	}
	return nil
}

// StartWorkflow starts a workflow on the machine with this UUID or name, from the
// beginning also if the machine has it already, and makes the machine runnable.
func (o *Operator) StartWorkflow(ctx context.Context, workflow, machine string) (MachineState, error) {
	m, err := o.machine(ctx, machine)
	if err != nil {
		return MachineState{}, err
	}
	begin := op{"replace", "/Workflow", workflow}
	if m.Workflow == workflow {
		begin = op{"replace", "/CurrentTask", -1}
	}
	err = o.patchMachine(ctx, m, begin, op{"replace", "/Runnable", true})
	return stateOf(m), err
}

// CompleteWorkflow does what a runner would to complete the workflow of a machine,
// but for the tasks themselves: it asks for one job after the other and reports
// each as finished, until there is none. A job that is under way is taken over, and
// where the machine would boot, it is said to have. It returns an error if the
// machine has no tasks or is not runnable.
func (o *Operator) CompleteWorkflow(ctx context.Context, machine string) (MachineState, error) {
	m, err := o.machine(ctx, machine)
	if err != nil {
		return MachineState{}, err
	}
	if len(m.Tasks) == 0 {
		return stateOf(m), fmt.Errorf("machine %s: expected a workflow to complete, found none; start one first", m.Name)
	}
	for env := m.BootEnv; !complete(m); {
		job, err := o.nextJob(ctx, m)
		if err != nil {
			return stateOf(m), err
		}
		if job != nil {
			if err := o.endJob(ctx, job, models.JOB_FINISHED, "complete"); err != nil {
				return stateOf(m), err
			}
			continue
		}
		if m, err = o.machine(ctx, m.Key()); err != nil {
			return MachineState{}, err
		}
		switch {
		case complete(m):
		case m.BootEnv == env:
			return stateOf(m), fmt.Errorf("machine %s: the endpoint has no job for it, though %d of %d tasks are done", m.Name, m.CurrentTask, len(m.Tasks))
		default:
			env = m.BootEnv
			if err := o.patchMachine(ctx, m, op{"replace", "/Runnable", true}); err != nil {
				return stateOf(m), err
			}
		}
	}
	return stateOf(m), nil
}

// FailWorkflow lets the next task of a machine fail, or the one that is under way,
// as a runner would report it. The message, if any, becomes the job's log.
func (o *Operator) FailWorkflow(ctx context.Context, machine, message string) (MachineState, error) {
	m, err := o.machine(ctx, machine)
	if err != nil {
		return MachineState{}, err
	}
	job, err := o.nextJob(ctx, m)
	if err == nil && job == nil {
		err = fmt.Errorf("machine %s: expected a task that can fail, found none; start a workflow first", m.Name)
	}
	if err != nil {
		return stateOf(m), err
	}
	if message != "" {
		if _, err := o.do(ctx, http.MethodPut, "jobs/"+job.Key()+"/log", []byte(message+"\n"), nil); err != nil {
			return stateOf(m), err
		}
	}
	if err := o.endJob(ctx, job, models.JOB_FAILED, "failed"); err != nil {
		return stateOf(m), err
	}
	if m, err = o.machine(ctx, m.Key()); err != nil {
		return MachineState{}, err
	}
	if m.Runnable { // a runner sees to that where the server does not
		err = o.patchMachine(ctx, m, op{"replace", "/Runnable", false})
	}
	return stateOf(m), err
}

// nextJob asks for the next job of a machine, or takes over the one that is under
// way. It returns nil if there is none.
func (o *Operator) nextJob(ctx context.Context, m *models.Machine) (*models.Job, error) {
	job := &models.Job{}
	status, err := o.do(ctx, http.MethodPost, "jobs", map[string]string{"Machine": m.Key(), "Context": m.Context}, job)
	switch {
	case status == http.StatusNoContent:
		return nil, nil
	case err == nil:
		return job, nil
	case status != http.StatusConflict:
		return nil, fmt.Errorf("machine %s: %w", m.Name, err)
	}
	now, readErr := o.machine(ctx, m.Key())
	if readErr != nil {
		return nil, readErr
	}
	if len(now.CurrentJob) > 0 {
		if _, err := o.do(ctx, http.MethodGet, "jobs/"+now.CurrentJob.String(), nil, job); err != nil {
			return nil, err
		}
		if job.State == models.JOB_CREATED || job.State == models.JOB_RUNNING {
			return job, nil
		}
	}
	return nil, fmt.Errorf("machine %s: %w; start a workflow, which also makes it runnable", m.Name, err)
}

// endJob reports a job as begun, if it is not, and as ended. Each report tests what
// the job's state was, as DRP's own runner does.
func (o *Operator) endJob(ctx context.Context, job *models.Job, state, exit string) error {
	move := func(patch ...op) error {
		patch = append([]op{{"test", "/State", job.State}}, patch...)
		_, err := o.do(ctx, http.MethodPatch, "jobs/"+job.Key(), patch, job)
		return err
	}
	if job.State != models.JOB_RUNNING {
		if err := move(op{"replace", "/State", models.JOB_RUNNING}); err != nil {
			return err
		}
	}
	return move(op{"replace", "/State", state}, op{"replace", "/ExitState", exit})
}
