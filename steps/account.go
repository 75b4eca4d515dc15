package steps

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// Account returns the user of a step. The error says why this process cannot run
// anything as that user.
func Account(name string) (*user.User, error) {
	u, err := lookup(name)
	if err == nil && !runsAs(u) {
		err = fmt.Errorf("expected the user that muster itself runs as, or muster run by root, found %q while muster runs as user %d", name, os.Geteuid())
	}
	return u, err
}

func lookup(name string) (*user.User, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("expected a user of this host, found %q (%v)", name, err)
	}
	return u, nil
}

// runsAs reports whether this process can run something as this user.
func runsAs(u *user.User) bool {
	own := os.Geteuid()
	return own == 0 || u.Uid == strconv.Itoa(own)
}

// Credential returns what makes a process one of this user, with its groups.
func Credential(u *user.User) (*syscall.Credential, error) {
	groups, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("groups of user %s: %w", u.Username, err)
	}
	var ids []uint32
	for _, text := range append([]string{u.Uid, u.Gid}, groups...) {
		id, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", u.Username, err)
		}
		ids = append(ids, uint32(id))
	}
	return &syscall.Credential{Uid: ids[0], Gid: ids[1], Groups: ids[2:]}, nil
}
