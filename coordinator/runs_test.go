package coordinator

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"muster/profile"
)

// The machine of the table has the workflow w. Its last look was a run of
// round 7.
func lastRun(state, job string, task int) profile.Run {
	return profile.Run{N: 3, Round: 7, Workflow: "w", Job: job, Task: task, State: state}
}

func TestRunsAreNumberedByWhatChanges(t *testing.T) {
	complete := profile.Machine{Workflow: "w", Complete: true, Runnable: true, Task: 5, Job: "j5"}
	running := profile.Machine{Workflow: "w", Runnable: true, Task: 2, Job: "j2"}
	failed := profile.Machine{Workflow: "w", Task: 2, Job: "j2", JobState: "failed"}
	restarted := profile.Machine{Workflow: "w", Runnable: true, Task: -1, Job: "j2"}
	wasComplete, wasRunning, wasFailed := lastRun(profile.Complete, "j5", 5), lastRun(profile.Running, "j2", 2), lastRun(profile.Failed, "j2", 2)
	never := profile.Run{}
	for name, row := range map[string]struct {
		last  profile.Run
		m     profile.Machine
		first bool
		how   beginning
		state string
	}{
		"never seen, running":                           {never, running, true, unseenNew, profile.Running},
		"never seen, complete":                          {never, complete, true, unseenNew, profile.Complete},
		"never seen, failed":                            {never, failed, true, unseenNew, profile.Failed},
		"never seen, though not the first look":         {never, running, false, unseenNew, profile.Running},
		"nothing changes while running":                 {wasRunning, running, false, goesOn, profile.Running},
		"nothing changes while complete":                {wasComplete, complete, false, goesOn, profile.Complete},
		"a restart finds it as it was":                  {wasRunning, running, true, goesOn, profile.Running},
		"a restart finds it complete as it was":         {wasComplete, complete, true, goesOn, profile.Complete},
		"it completes":                                  {wasRunning, complete, false, goesOn, profile.Complete},
		"it completes while nobody looks":               {wasRunning, complete, true, goesOn, profile.Complete},
		"it fails":                                      {wasRunning, failed, false, goesOn, profile.Failed},
		"it is tried again after a failure":             {wasFailed, running, false, goesOn, profile.Running},
		"it is tried again while nobody looks":          {wasFailed, running, true, goesOn, profile.Running},
		"the next task is another job":                  {wasRunning, with(running, 3, "j3"), false, goesOn, profile.Running},
		"the next task while nobody looks":              {wasRunning, with(running, 3, "j3"), true, goesOn, profile.Running},
		"the same task in another job":                  {wasFailed, with(running, 2, "j9"), false, goesOn, profile.Running},
		"complete falls":                                {wasComplete, restarted, false, seenBegin, profile.Running},
		"complete falls to a failure":                   {wasComplete, failed, false, seenBegin, profile.Failed},
		"complete fell while nobody looked":             {wasComplete, restarted, true, unseenLate, profile.Running},
		"another job is complete":                       {wasComplete, with(complete, 5, "k5"), false, seenBegin, profile.Complete},
		"another job was completed while nobody looked": {wasComplete, with(complete, 5, "k5"), true, unseenLate, profile.Complete},
		"the task falls back":                           {wasRunning, restarted, false, seenBegin, profile.Running},
		"the task fell back while nobody looked":        {wasRunning, restarted, true, unseenOld, profile.Running},
		"the task falls back after a failure":           {wasFailed, restarted, false, seenBegin, profile.Running},
		"another workflow":                              {wasRunning, workflow(running), false, seenBegin, profile.Running},
		"another workflow after a complete one":         {wasComplete, workflow(restarted), false, seenBegin, profile.Running},
		"another workflow while nobody looked":          {wasRunning, workflow(running), true, unseenOld, profile.Running},
		"another workflow completed unseen":             {wasRunning, workflow(complete), true, unseenOld, profile.Complete},
		"another workflow after a complete one, unseen": {wasComplete, workflow(restarted), true, unseenLate, profile.Running},
		"a flag left over under another workflow":       {wasComplete, workflow(complete), true, goesOn, profile.Complete},
		"the same, while it is watched":                 {wasComplete, workflow(complete), false, goesOn, profile.Complete},
	} {
		t.Run(name, func(t *testing.T) {
			got, how := number(row.last, row.m, row.first)
			want := profile.Run{N: row.last.N, Round: row.last.Round, Workflow: row.m.Workflow, Job: row.m.Job, Task: row.m.Task, State: row.state}
			if row.how != goesOn {
				want.N++
			}
			if diff := cmp.Diff(want, got); diff != "" || how != row.how {
				t.Errorf("begun %d, want %d; run (-want +got):\n%s", how, row.how, diff)
			}
		})
	}
}

func with(m profile.Machine, task int, job string) profile.Machine {
	m.Task, m.Job = task, job
	return m
}

func workflow(m profile.Machine) profile.Machine {
	m.Workflow = "w2"
	return m
}

func TestAMachineIsFailedOnlyIfItsJobSaysSo(t *testing.T) {
	for name, row := range map[string]struct {
		m    profile.Machine
		want string
	}{
		"complete":                  {profile.Machine{Complete: true, Runnable: true}, profile.Complete},
		"complete, not runnable":    {profile.Machine{Complete: true, JobState: "failed"}, profile.Complete},
		"runnable":                  {profile.Machine{Runnable: true}, profile.Running},
		"runnable after a failure":  {profile.Machine{Runnable: true, JobState: "failed"}, profile.Running},
		"not runnable, job failed":  {profile.Machine{JobState: "failed"}, profile.Failed},
		"not runnable, unreadable":  {profile.Machine{}, profile.Stopped},
		"not runnable, incomplete":  {profile.Machine{JobState: "incomplete"}, profile.Stopped},
		"not runnable, job is done": {profile.Machine{JobState: "finished"}, profile.Stopped},
	} {
		t.Run(name, func(t *testing.T) {
			if got := state(row.m); got != row.want {
				t.Errorf("state %q, want %q", got, row.want)
			}
		})
	}
}
