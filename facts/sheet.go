package facts

import "net/netip"

// Schema is the number of this layout. It rises when a key is removed or changes its meaning; keys may be added
// under the same number, so readers ignore keys that they do not know.
const Schema = 1

// Sheet is what one host is. Sizes are bytes. A part without data is empty and absent from the JSON. A Sheet is
// plain data: copy it, but share its slices and its map for reading only.
type Sheet struct {
	Schema         int               `json:"schema"`
	Agent          string            `json:"agent,omitempty"`
	Identity       Identity          `json:"identity,omitzero"`
	OS             OS                `json:"os,omitzero"`
	Boot           Boot              `json:"boot,omitzero"`
	Virtualization Virtualization    `json:"virtualization,omitzero"`
	CPU            CPU               `json:"cpu,omitzero"`
	Memory         Memory            `json:"memory,omitzero"`
	Disks          []Disk            `json:"disks,omitempty"`
	Filesystems    []Filesystem      `json:"filesystems,omitempty"`
	Interfaces     []Interface       `json:"interfaces,omitempty"`
	Errors         map[string]string `json:"errors,omitempty"` // source → what went wrong
	Cut            []string          `json:"cut,omitempty"`    // what Fit left out
}

// Identity tells hosts apart. FQDN is only what the host itself says without asking a name server.
type Identity struct {
	Hostname      string `json:"hostname,omitempty"`
	FQDN          string `json:"fqdn,omitempty"`
	MachineIDHash string `json:"machine_id_hash,omitempty"`
}

// OS is the operating system and its kernel.
type OS struct {
	ID           string `json:"id,omitempty"`
	Name         string `json:"name,omitempty"`
	Version      string `json:"version,omitempty"`
	Kernel       string `json:"kernel,omitempty"`
	Architecture string `json:"architecture,omitempty"`
}

// Boot is the current boot. Time is seconds since 1970 and steady for the boot: see Config.Previous.
type Boot struct {
	ID   string `json:"id,omitempty"`
	Time int64  `json:"time,omitempty"`
}

// Virtualization is empty on bare metal. Role is "guest" or "host".
type Virtualization struct {
	System string `json:"system,omitempty"`
	Role   string `json:"role,omitempty"`
}

// CPU counts cores and threads over all sockets.
type CPU struct {
	Model   string `json:"model,omitempty"`
	Sockets int    `json:"sockets,omitempty"`
	Cores   int    `json:"cores,omitempty"`
	Threads int    `json:"threads,omitempty"`
}

// Memory is what the kernel can use, a little less than what is installed.
type Memory struct {
	TotalBytes uint64 `json:"total_bytes,omitempty"`
	SwapBytes  uint64 `json:"swap_bytes,omitempty"`
}

// Disk is one physical disk that cannot be pulled out in passing.
type Disk struct {
	Name       string `json:"name"`
	SizeBytes  uint64 `json:"size_bytes,omitempty"`
	Rotational bool   `json:"rotational,omitempty"`
	Model      string `json:"model,omitempty"`
}

// Filesystem is one mounted filesystem that rests on a block device or a ZFS dataset.
type Filesystem struct {
	Mount     string `json:"mount"`
	Type      string `json:"type"`
	SizeBytes uint64 `json:"size_bytes,omitempty"`
}

// Interface is one network interface of the hardware, or one that rests on it (bond, VLAN, bridge). Addresses
// carry their prefix length, IPv4 first.
type Interface struct {
	Name      string   `json:"name"`
	MAC       string   `json:"mac,omitempty"`
	MTU       int      `json:"mtu,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
}

// PrimaryAddress returns the address that stands for the host: the first global unicast address of the first
// interface, by name, that has one, and IPv4 before IPv6. It returns "" if there is none.
func PrimaryAddress(s Sheet) string {
	_, address := primary(s.Interfaces)
	return address
}

// primary returns the index of the interface with the primary address, and that address; -1 if there is none.
func primary(interfaces []Interface) (int, string) {
	for i, ifc := range interfaces {
		for _, a := range ifc.Addresses {
			if prefix, err := netip.ParsePrefix(a); err == nil && prefix.Addr().IsGlobalUnicast() {
				return i, prefix.Addr().String()
			}
		}
	}
	return -1, ""
}
