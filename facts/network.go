package facts

import (
	"bufio"
	"cmp"
	"context"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/shirou/gopsutil/v3/common"
	"github.com/shirou/gopsutil/v3/net"
)

func readInterfaces(ctx context.Context) (func(*Sheet), error) {
	list, err := net.InterfacesWithContext(ctx)
	if err != nil {
		return nil, err
	}
	temporary := map[netip.Addr]bool{}
	if f, err := os.Open(hostPath(ctx, common.HostProcEnvKey, "net/if_inet6")); err == nil {
		temporary = parseTemporary(f)
		f.Close()
	}
	found := describe(list, hostPath(ctx, common.HostSysEnvKey, "class/net"), temporary)
	return func(s *Sheet) { s.Interfaces = found }, nil
}

// describe turns interfaces into facts, sorted by name. Interfaces of containers and tunnels come and go, so
// where hardware is known only what rests on it is listed; in a container, or off Linux, everything is.
func describe(list net.InterfaceStatList, classNet string, temporary map[netip.Addr]bool) []Interface {
	list = slices.DeleteFunc(slices.Clone(list), func(ifc net.InterfaceStat) bool {
		return slices.Contains(ifc.Flags, "loopback")
	})
	rests := func(ifc net.InterfaceStat) bool { return restsOnHardware(classNet, ifc.Name, 4) }
	if slices.ContainsFunc(list, rests) {
		list = slices.DeleteFunc(list, func(ifc net.InterfaceStat) bool { return !rests(ifc) })
	}
	var found []Interface
	for _, ifc := range list {
		entry := Interface{Name: text(ifc.Name), MAC: text(ifc.HardwareAddr), MTU: max(0, ifc.MTU)}
		var addresses []netip.Prefix
		for _, a := range ifc.Addrs {
			p, err := netip.ParsePrefix(a.Addr)
			if err == nil && p.Addr().IsGlobalUnicast() && !temporary[p.Addr()] {
				addresses = append(addresses, p)
			}
		}
		// Addr.Compare puts IPv4 first.
		slices.SortFunc(addresses, func(a, b netip.Prefix) int {
			return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
		})
		for _, p := range addresses[:min(len(addresses), maxEntries)] {
			entry.Addresses = append(entry.Addresses, p.String())
		}
		found = append(found, entry)
	}
	slices.SortFunc(found, func(a, b Interface) int { return cmp.Compare(a.Name, b.Name) })
	return found[:min(len(found), maxEntries)]
}

// restsOnHardware tells whether an interface is a device, or a bond, VLAN or bridge over one.
func restsOnHardware(classNet, name string, depth int) bool {
	if exists(filepath.Join(classNet, name, "device")) {
		return true
	}
	lower, _ := filepath.Glob(filepath.Join(classNet, name, "lower_*"))
	return depth > 0 && slices.ContainsFunc(lower, func(link string) bool {
		return restsOnHardware(classNet, strings.TrimPrefix(filepath.Base(link), "lower_"), depth-1)
	})
}

// parseTemporary returns the IPv6 addresses that will not last: the privacy addresses that hosts change daily,
// and those that are not yet, or no longer, in use.
func parseTemporary(ifInet6 io.Reader) map[netip.Addr]bool {
	const passing = 0x01 | 0x08 | 0x20 | 0x40 // IFA_F_TEMPORARY, DADFAILED, DEPRECATED, TENTATIVE
	found := map[netip.Addr]bool{}
	lines := bufio.NewScanner(ifInet6)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) != 6 || len(fields[0]) != 32 {
			continue
		}
		flags, err := strconv.ParseUint(fields[4], 16, 32)
		if err != nil || flags&passing == 0 {
			continue
		}
		var groups []string
		for group := range slices.Chunk([]byte(fields[0]), 4) {
			groups = append(groups, string(group))
		}
		if address, err := netip.ParseAddr(strings.Join(groups, ":")); err == nil {
			found[address] = true
		}
	}
	return found
}
