package facts

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/shirou/gopsutil/v3/common"
	"github.com/shirou/gopsutil/v3/cpu"
	"github.com/shirou/gopsutil/v3/host"
	"github.com/shirou/gopsutil/v3/mem"
)

func readIdentity(ctx context.Context) (func(*Sheet), error) {
	hostname, err := os.Hostname()
	id, idErr := machineID(ctx)
	identity := Identity{Hostname: text(hostname)}
	if id != "" {
		identity.MachineIDHash = digest("machine id", id)
	}
	if hosts, err := os.Open(hostPath(ctx, common.HostEtcEnvKey, "hosts")); err == nil {
		identity.FQDN = text(fqdn(hosts, hostname))
		hosts.Close()
	}
	return func(s *Sheet) { s.Identity = identity }, errors.Join(err, idErr)
}

// fqdn finds the host's qualified name where `hostname -f` looks first: in the hosts file. A name server is not
// asked, because its answer can be late, or another one a moment later.
func fqdn(hosts io.Reader, hostname string) string {
	if hostname == "" || strings.Contains(hostname, ".") {
		return hostname
	}
	lines := bufio.NewScanner(hosts)
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(line)
		for i, name := range fields {
			if i > 0 && strings.HasPrefix(name, hostname+".") && name != hostname+".localdomain" {
				return name
			}
		}
	}
	return ""
}

var machineIDPattern = regexp.MustCompile(`^[0-9a-f]{32}$`)

// machineID returns the id of this installation. On Linux only /etc/machine-id counts: gopsutil prefers the
// product UUID, which only root can read, and falls back on the boot id.
func machineID(ctx context.Context) (string, error) {
	if runtime.GOOS != "linux" {
		return host.HostIDWithContext(ctx)
	}
	id, err := readFile(hostPath(ctx, common.HostEtcEnvKey, "machine-id"))
	if err != nil {
		return "", fmt.Errorf("machine id: %w", err)
	}
	if !machineIDPattern.MatchString(id) {
		return "", errors.New("machine id: not set")
	}
	return id, nil
}

// readOS takes the distribution from os-release: gopsutil guesses it from older files and may run lsb_release.
func readOS(ctx context.Context) (func(*Sheet), error) {
	var found OS
	for _, path := range []string{
		hostPath(ctx, common.HostEtcEnvKey, "os-release"),
		hostPath(ctx, common.HostRootEnvKey, "usr/lib/os-release"),
	} {
		if f, err := os.Open(path); err == nil {
			found = parseOSRelease(f)
			f.Close()
			break
		}
	}
	var platformErr error
	if found.ID == "" {
		found.ID, _, found.Version, platformErr = host.PlatformInformationWithContext(ctx)
	}
	kernel, kernelErr := host.KernelVersionWithContext(ctx)
	architecture, archErr := host.KernelArch()
	found = OS{
		ID: text(found.ID), Name: text(found.Name), Version: text(found.Version),
		Kernel: text(kernel), Architecture: text(architecture),
	}
	return func(s *Sheet) { s.OS = found }, errors.Join(platformErr, kernelErr, archErr)
}

// parseOSRelease reads the shell-like assignments of os-release(5).
func parseOSRelease(r io.Reader) OS {
	var found OS
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		key, value, ok := strings.Cut(strings.TrimSpace(lines.Text()), "=")
		if !ok {
			continue
		}
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		switch key {
		case "ID":
			found.ID = value
		case "PRETTY_NAME":
			found.Name = value
		case "VERSION_ID":
			found.Version = value
		}
	}
	return found
}

// firstBootTime is before any boot that can be true; a host without a clock battery claims 1970.
const firstBootTime = 1_000_000_000 // September 2001

// readBoot takes the kernel's own boot time on Linux: gopsutil v3 subtracts the uptime from the current time
// there, which wobbles by a second from one reading to the next.
func readBoot(ctx context.Context) (func(*Sheet), error) {
	var boot Boot
	var seconds uint64
	var err error
	if runtime.GOOS == "linux" {
		boot.ID = text(attribute(hostPath(ctx, common.HostProcEnvKey, "sys/kernel/random/boot_id")))
		var f *os.File
		if f, err = os.Open(hostPath(ctx, common.HostProcEnvKey, "stat")); err == nil {
			seconds = parseBootTime(f)
			f.Close()
		}
	} else {
		seconds, err = host.BootTimeWithContext(ctx)
	}
	if seconds >= firstBootTime && seconds < maxBytes {
		boot.Time = int64(seconds)
	}
	return func(s *Sheet) { s.Boot = boot }, err
}

// parseBootTime returns btime of /proc/stat, 0 if there is none.
func parseBootTime(stat io.Reader) uint64 {
	lines := bufio.NewScanner(stat)
	lines.Buffer(nil, maxFile) // the line of interrupts is long
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "btime "); ok {
			seconds, _ := strconv.ParseUint(strings.TrimSpace(value), 10, 64)
			return seconds
		}
	}
	return 0
}

// readVirtualization corrects gopsutil where the CPU itself says that it runs under a hypervisor: gopsutil takes
// a guest with the kvm module loaded for a host, and does not notice built-in virtio drivers.
func readVirtualization(ctx context.Context) (func(*Sheet), error) {
	system, role, err := host.VirtualizationWithContext(ctx)
	if role != "guest" && underHypervisor(attribute(hostPath(ctx, common.HostProcEnvKey, "cpuinfo"))) {
		vendor := attribute(hostPath(ctx, common.HostSysEnvKey, "class/dmi/id/sys_vendor"))
		system, role = hypervisor(vendor), "guest"
	}
	found := Virtualization{System: text(system), Role: text(role)}
	return func(s *Sheet) { s.Virtualization = found }, err
}

func underHypervisor(cpuinfo string) bool {
	for line := range strings.Lines(cpuinfo) {
		if key, flags, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "flags" {
			return slices.Contains(strings.Fields(flags), "hypervisor")
		}
	}
	return false
}

// hypervisor names the system behind a DMI vendor, in gopsutil's words where it has one.
func hypervisor(vendor string) string {
	for _, known := range [...][2]string{
		{"QEMU", "kvm"}, {"Amazon EC2", "kvm"}, {"Google", "kvm"}, {"VMware", "vmware"},
		{"Microsoft", "hyperv"}, {"innotek", "vbox"}, {"Oracle", "vbox"}, {"Xen", "xen"},
	} {
		if strings.Contains(vendor, known[0]) {
			return known[1]
		}
	}
	return "unknown"
}

func readCPU(ctx context.Context) (func(*Sheet), error) {
	infos, infoErr := cpu.InfoWithContext(ctx)
	cores, coresErr := cpu.CountsWithContext(ctx, false)
	threads, threadsErr := cpu.CountsWithContext(ctx, true)
	found := CPU{Cores: count(cores), Threads: count(threads)}
	if found.Cores > found.Threads { // a container that sees some of the threads and all of the topology
		found.Cores = 0
	}
	packages := map[string]bool{}
	for _, info := range infos {
		if found.Model == "" {
			found.Model = text(info.ModelName)
		}
		packages[info.PhysicalID] = true
	}
	found.Sockets = count(len(packages))
	return func(s *Sheet) { s.CPU = found }, errors.Join(infoErr, coresErr, threadsErr)
}

func readMemory(ctx context.Context) (func(*Sheet), error) {
	memory, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return nil, err
	}
	found := Memory{TotalBytes: size(memory.Total), SwapBytes: size(memory.SwapTotal)}
	var swapErr error
	if runtime.GOOS != "linux" { // only Linux tells both at once
		var swap *mem.SwapMemoryStat
		if swap, swapErr = mem.SwapMemoryWithContext(ctx); swapErr == nil {
			found.SwapBytes = size(swap.Total)
		}
	}
	return func(s *Sheet) { s.Memory = found }, swapErr
}
