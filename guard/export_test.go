//go:build linux

package guard

// OwnCgroup is for tests that arrange what the package then finds.
var OwnCgroup = ownCgroup
