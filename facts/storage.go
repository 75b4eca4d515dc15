package facts

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/shirou/gopsutil/v3/common"
	"github.com/shirou/gopsutil/v3/disk"
)

// readDisks lists the physical disks of /sys/block. gopsutil knows only counters of disks, and serial numbers,
// which do not belong in a sheet. Systems without /sys have no data.
func readDisks(ctx context.Context) (func(*Sheet), error) {
	block := hostPath(ctx, common.HostSysEnvKey, "block")
	entries, err := os.ReadDir(block)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var found []Disk
	for _, entry := range entries {
		name := entry.Name()
		sys := func(file string) string { return attribute(filepath.Join(block, name, file)) }
		// Loop, RAM, device-mapper and RAID devices have no device behind them; sticks and card readers come
		// and go; "hidden" are the single paths of a multipath NVMe disk.
		if !exists(filepath.Join(block, name, "device")) || sys("removable") == "1" || sys("hidden") == "1" ||
			strings.HasPrefix(name, "mmcblk") && strings.Contains(name, "boot") {
			continue
		}
		sectors, _ := strconv.ParseUint(sys("size"), 10, 64)
		if sectors == 0 || sectors > maxBytes/512 {
			continue
		}
		found = append(found, Disk{
			Name:       text(name),
			SizeBytes:  sectors * 512, // /sys counts in 512 bytes, whatever the disk's own sector is
			Rotational: sys("queue/rotational") == "1",
			Model:      text(sys("device/model")),
		})
	}
	slices.SortFunc(found, func(a, b Disk) int { return cmp.Compare(a.Name, b.Name) })
	found = found[:min(len(found), maxEntries)]
	return func(s *Sheet) { s.Disks = found }, err
}

// passing are places whose mounts come and go with containers, sessions and media.
var passing = []string{
	"/dev", "/proc", "/sys", "/run", "/media", "/snap",
	"/var/lib/docker", "/var/lib/containers", "/var/lib/containerd", "/var/lib/kubelet",
}

// readFilesystems lists each mounted device once, at its shortest mount point: bind mounts, which a sandboxed
// service sees many of, and subvolumes show the same device again.
func readFilesystems(ctx context.Context) (func(*Sheet), error) {
	partitions, err := disk.PartitionsWithContext(ctx, false) // false leaves out what rests on no device
	if err != nil {
		return nil, err
	}
	slices.SortFunc(partitions, func(a, b disk.PartitionStat) int {
		return cmp.Or(cmp.Compare(len(a.Mountpoint), len(b.Mountpoint)), cmp.Compare(a.Mountpoint, b.Mountpoint))
	})
	seen := map[string]bool{}
	var found []Filesystem
	for _, p := range partitions {
		if seen[p.Device] || p.Fstype == "squashfs" || p.Fstype == "iso9660" || len(found) == maxEntries ||
			slices.ContainsFunc(passing, func(dir string) bool { return below(p.Mountpoint, dir) }) {
			continue
		}
		seen[p.Device] = true
		filesystem := Filesystem{Mount: text(p.Mountpoint), Type: text(p.Fstype)}
		// The size of a ZFS dataset is what it uses plus what is free, so it changes all the time.
		if p.Fstype != "zfs" {
			usage, err := disk.UsageWithContext(ctx, hostPath(ctx, common.HostRootEnvKey, p.Mountpoint))
			if err == nil {
				filesystem.SizeBytes = size(usage.Total)
			}
		}
		found = append(found, filesystem)
	}
	slices.SortFunc(found, func(a, b Filesystem) int { return cmp.Compare(a.Mount, b.Mount) })
	return func(s *Sheet) { s.Filesystems = found }, nil
}

func below(name, dir string) bool {
	return name == dir || strings.HasPrefix(path.Clean(name), dir+"/")
}
