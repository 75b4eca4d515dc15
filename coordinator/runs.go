package coordinator

import "muster/profile"

// beginning says how a run of the machine was found to begin.
type beginning int

const (
	goesOn     beginning = iota // the run that is known goes on
	seenBegin                   // a new run, which was seen to begin
	unseenLate                  // a new run, which began while nobody looked, after a recorded completion
	unseenOld                   // a new run, which began while nobody looked, in place of one that never completed
	unseenNew                   // the first run ever seen of this machine
)

// number compares what is known of the machine's last run with what the machine
// is now, and returns the run as it is now, with the round that it had, and how
// it began (DESIGN, "Completion"). first says that this process looks for the
// first time, so that what changed since last was not seen to change.
func number(last profile.Run, m profile.Machine, first bool) (profile.Run, beginning) {
	now := last
	now.Workflow, now.Task, now.State = m.Workflow, m.Task, state(m)
	if m.Job != "" { // a job that is gone from the endpoint is no other job
		now.Job = m.Job
	}
	wasComplete := last.State == profile.Complete
	fell := wasComplete && !m.Complete
	otherJob := wasComplete && now.Job != last.Job
	// A new workflow on a machine that is complete has begun once the flag falls
	// or another job has run, not before.
	restarted := !wasComplete && (m.Workflow != last.Workflow || m.Task < last.Task)
	how := goesOn
	switch {
	case last.N == 0:
		how = unseenNew
	case first && (fell || otherJob):
		how = unseenLate
	case first && restarted:
		how = unseenOld
	case !first && (fell || otherJob || restarted):
		how = seenBegin
	}
	if how != goesOn {
		now.N++
	}
	return now, how
}

// state classifies a machine. A machine that is not runnable for another
// reason than a failed job (a reboot, an incomplete task, a job that cannot be
// read) is stopped: neither failed nor complete.
func state(m profile.Machine) string {
	switch {
	case m.Complete:
		return profile.Complete
	case m.Runnable:
		return profile.Running
	case m.JobState == "failed":
		return profile.Failed
	}
	return profile.Stopped
}
