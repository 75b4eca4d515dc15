// Package mutation proves that every `test` op of every patch is needed. It
// holds no code but tests.
//
// A scenario has two actors. The first decides on the profile and sends its
// request, which is held on its way; its process is gone. Meanwhile the second
// does something: another member, an operator, somebody in DRP's portal, or the
// next process of the same host. Then the request arrives. Which test ops its
// patch has is found at run time. Each of them is taken away in turn, and
// something that Muster promises has to break: that, and not the patch, is
// looked at. With the op nothing breaks, and a request that nothing came before
// lands.
//
// docs/mutations.md is the list of all this, written by
//
//	go test ./internal/mutation -update
package mutation

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"muster/internal/leaktest"
)

var flagUpdate = flag.Bool("update", false, "write docs/mutations.md")

// TestMain makes this host one without devices, known by its machine id, for
// the scenarios that have a whole agent.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "muster-mutation")
	if err == nil {
		err = errors.Join(
			os.WriteFile(filepath.Join(dir, "machine-id"), []byte("00112233445566778899aabbccddeeff\n"), 0o600),
			os.Setenv("HOST_SYS", dir), os.Setenv("HOST_ETC", dir),
		)
	}
	if err != nil {
		panic(err)
	}
	code := leaktest.Run(m)
	os.RemoveAll(dir)
	os.Exit(code)
}
