package facts

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/shirou/gopsutil/v3/common"
)

// HardwareID returns 32 hex digits that stay the same for this hardware, whatever is installed on it: a hash
// over the sorted permanent MAC addresses of its network devices. A host without any (a container, or another
// system than Linux) gets a hash of its machine id instead, which a fresh installation changes and a copied disk
// does not. It returns an error if there is neither.
//
// Everything it reads can be read by every user, so that an agent gets the same id as root and as its own user.
// That is why the DMI product UUID is not used: only root can read it. The hash keeps the addresses out of sight
// but is no secret: MAC addresses are few enough to be tried.
//
// What can come and go does not count: virtual functions, and USB adapters where there is anything else. Neither
// do addresses that were set or drawn at random; a bond's port still counts by its own address.
func HardwareID(ctx context.Context) (string, error) {
	if macs := permanentMACs(hostPath(ctx, common.HostSysEnvKey, "class/net")); len(macs) > 0 {
		return digest("hardware: devices", strings.Join(macs, " ")), nil
	}
	id, err := machineID(ctx)
	if err != nil {
		return "", fmt.Errorf("hardware id: no network device, and %w", err)
	}
	if id == "" {
		return "", errors.New("hardware id: neither a network device nor a machine id")
	}
	return digest("hardware: machine id", id), nil
}

func permanentMACs(classNet string) []string {
	entries, err := os.ReadDir(classNet)
	if err != nil {
		return nil
	}
	var fixed, usb []string
	for _, entry := range entries {
		sys := func(file string) string { return filepath.Join(classNet, entry.Name(), file) }
		if !exists(sys("device")) || exists(sys("device/physfn")) {
			continue
		}
		mac := attribute(sys("bonding_slave/perm_hwaddr"))
		if mac == "" && attribute(sys("addr_assign_type")) == "0" { // NET_ADDR_PERM
			mac = attribute(sys("address"))
		}
		parsed, err := net.ParseMAC(mac)
		if err != nil || len(parsed) != 6 || !slices.ContainsFunc(parsed, func(b byte) bool { return b != 0 }) {
			continue
		}
		if subsystem, _ := os.Readlink(sys("device/subsystem")); filepath.Base(subsystem) == "usb" {
			usb = append(usb, parsed.String())
		} else {
			fixed = append(fixed, parsed.String())
		}
	}
	if len(fixed) == 0 {
		fixed = usb
	}
	slices.Sort(fixed)
	return slices.Compact(fixed)
}
