// Package joblog keeps the logs of jobs: Memory for as long as the process lives, Files
// in one file each.
//
// What it guarantees: when Append returns without an error, the text is in the log,
// and with Files it survives a crash; if it fails, or if the process ends meanwhile,
// all of the text is in the log or nothing. A log ends at 4 MiB, with a line that says
// so; what is appended after that is dropped without an error.
//
// What it does not do: it does not know which jobs there are. The caller forgets the
// log of a job that is deleted, and at a start calls Files.Sweep for what was left.
package joblog

// maxLog bounds what is kept of one job's log, in bytes.
const maxLog = 4 << 20

const truncated = "\n[the rest of this log was not kept]\n"

// clip returns as much of text as fits into a log of size bytes.
func clip(size int, text []byte) []byte {
	if size >= maxLog {
		return nil
	}
	if size+len(text) > maxLog {
		return append(text[:maxLog-size:maxLog-size], truncated...)
	}
	return text
}
