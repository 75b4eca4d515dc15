// Package steps reads the steps that are configured on a host: one file each, in
// a directory such as /etc/muster/steps.d, in the order of the files' names.
//
// A file that cannot be what somebody meant is an error that names the file and,
// where there is one, the line: a key that is not known, a gate that is none, two
// steps of a name, a file that others may write or that seems half-written. Read
// reports all of them at once. Nothing is run here: the agent does that, by
// `muster run`, whose flags the keys are.
package steps
