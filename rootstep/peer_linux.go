package rootstep

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// peer returns the user and the process at the other end of the connection, as they
// were when it was made.
func peer(c *net.UnixConn) (uid, pid int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	var who *unix.Ucred
	if errRaw := raw.Control(func(fd uintptr) { who, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); errRaw != nil {
		return 0, 0, errRaw
	}
	if err != nil {
		return 0, 0, fmt.Errorf("who asks: %w", os.NewSyscallError("getsockopt", err))
	}
	return int(who.Uid), int(who.Pid), nil
}
