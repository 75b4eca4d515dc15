// Package install makes a host run the agent where no package does: it writes the
// program, its configuration and its tokens, and registers the unit that packages
// have too, through kardianos/service.
//
// Guaranteed: an installation is done as a whole, or what was there before is
// there again; a second one with the same content changes nothing; files appear
// with their modes and owners, complete; a host whose package has the unit is left
// alone. Not guaranteed: that anything is undone if the process is killed or the host
// loses power in between; the next installation then goes on from there, and restarts the
// agent whatever it finds.
package install
