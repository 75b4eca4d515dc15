package disk

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestReplaceIsInDoubtWhenTheFolderCannotBeSynced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.dir.Close(); err != nil { // so that it cannot be synced
		t.Fatal(err)
	}
	err = f.Replace(func(out *bufio.Writer) error { _, err := out.WriteString("new"); return err })
	if !errors.Is(err, ErrInDoubt) || !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if have, err := os.ReadFile(path); err != nil || string(have) != "new" {
		t.Errorf("the file is %q, %v", have, err)
	}
	if err := f.lock.Close(); err != nil {
		t.Error(err)
	}
}
