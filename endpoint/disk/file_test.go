package disk_test

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"muster/endpoint/disk"
)

func open(t *testing.T, path string) *disk.File {
	t.Helper()
	f, err := disk.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func text(s string) func(*bufio.Writer) error {
	return func(out *bufio.Writer) error {
		_, err := out.WriteString(s)
		return err
	}
}

func TestReplaceThatFailsKeepsTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	f := open(t, path)
	if err := f.Replace(text("first")); err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	err := f.Replace(func(out *bufio.Writer) error { return errors.Join(text("second")(out), stop) })
	if !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	if have, err := os.ReadFile(path); err != nil || string(have) != "first" {
		t.Errorf("the file is %q, %v", have, err)
	}
	if _, err := os.Lstat(path + ".new"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was half written: %v", err)
	}
}

func TestHalfWrittenFileIsRemovedAtTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path+".new", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, path)
	if _, err := os.Lstat(path + ".new"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

func TestFileIsHeldByOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	f := open(t, path)
	if _, err := disk.Open(path); err == nil || !strings.Contains(err.Error(), "in use by process ") {
		t.Errorf("a second one: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}

func TestFolderOfOthersIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d")
	f := &disk.Folder{Path: path, Names: []string{"a"}, Scratch: "new"}
	root, err := f.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := root.WriteFile("new/half", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if root, err = f.Open(); err != nil {
		t.Fatal(err)
	}
	if _, err := root.Lstat("new/half"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what an earlier process left: %v", err)
	}
	if err := errors.Join(f.Close(), os.Chmod(path, 0o755)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Open(); err == nil || !strings.Contains(err.Error(), "expected mode 0700, found 0755") {
		t.Errorf("got %v", err)
	}
}
