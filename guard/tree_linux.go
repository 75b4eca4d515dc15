package guard

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tree is every descendant of this process. Orphans become its children
// (adoptOrphans), so nothing is left as soon as it has no children.
type tree struct {
	cgroup *cgroup
	gone   chan struct{} // closed when nobody is left

	// mu is held while children are reaped, and from listing to killing them:
	// a child's process id is not another's as long as it is not reaped.
	mu     sync.Mutex
	killed bool
}

// adoptOrphans makes descendants that lose their parent children of this process.
func adoptOrphans() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl PR_SET_CHILD_SUBREAPER", err)
	}
	return nil
}

// reap waits for all children and says who ended how, until none is left.
func (t *tree) reap(ended func(pid int, status syscall.WaitStatus)) {
	for anyEnded() {
		t.mu.Lock()
		for {
			var status syscall.WaitStatus
			pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
			if err == syscall.EINTR {
				continue
			}
			if pid <= 0 {
				break
			}
			ended(pid, status)
		}
		if t.killed {
			t.killLocked() // those who lost their parent just now
		}
		t.mu.Unlock()
	}
	for t.cgroup.populated() { // by who was moved into it from elsewhere
		t.cgroup.kill()
		time.Sleep(killEvery)
	}
	t.cgroup.remove()
	close(t.gone)
}

// anyEnded waits until a child has ended, without reaping it; false: there is none.
func anyEnded() bool {
	for {
		switch err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOWAIT, nil); err {
		case nil:
			return true
		case unix.EINTR:
		default:
			return false
		}
	}
}

// killEvery is how often a tree is killed that goes on growing.
const killEvery = 2 * time.Millisecond

// kill kills the tree, and returns when nobody is left.
func (t *tree) kill() {
	for {
		t.mu.Lock()
		t.killLocked()
		t.mu.Unlock()
		select {
		case <-t.gone:
			return
		case <-time.After(killEvery):
		}
	}
}

func (t *tree) killLocked() {
	t.killed = true
	t.cgroup.kill()
	pids, _ := children() // what is missed is found the next time
	for _, pid := range pids {
		syscall.Kill(pid, syscall.SIGKILL) // whether it worked is seen by its end
	}
}

// children lists the children of all threads of this process, zombies included.
func children() ([]int, error) {
	files, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, os.ErrNotExist
	}
	var pids []int
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		for _, field := range strings.Fields(string(raw)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
				pids = append(pids, pid)
			}
		}
	}
	return pids, nil
}
