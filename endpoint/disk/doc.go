// Package disk keeps files in a way that survives crashes and keeps others out.
//
// A File is replaced as a whole and held by one process, a Folder is closed to other
// users, and Listen makes a socket that only this user can connect to.
//
// What it guarantees: what it makes has mode 0600 or 0700 from the start and never
// lies there wider for a moment; when File.Replace or Sync returns without an error,
// what it wrote survives a crash of the host, as far as its disk keeps what it has
// acknowledged; nothing that somebody else put in the place is replaced, except a
// socket on which nobody listens any more.
//
// What it does not do: it knows nothing of what is in the files. A File needs flock,
// as on Linux; elsewhere Open returns an error. Locks do not hold between hosts that
// share a network file system.
package disk
