package facts_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"

	"github.com/shirou/gopsutil/v3/common"

	"muster/facts"
)

func hardwareID(t *testing.T, ctx context.Context) string {
	t.Helper()
	id, err := facts.HardwareID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(id) {
		t.Fatalf("%q is not 32 hex digits", id)
	}
	return id
}

// nic is one folder of /sys/class/net.
type nic map[string]string

func host(t *testing.T, machineID string, nics map[string]nic) context.Context {
	t.Helper()
	root := t.TempDir()
	write := func(path, content string) {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("sys/class/net/lo/address", "00:00:00:00:00:00")
	for name, files := range nics {
		for file, content := range files {
			if file == "bus" {
				dir := filepath.Join(root, "sys/class/net", name, "device")
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink("../../bus/"+content, filepath.Join(dir, "subsystem")); err != nil {
					t.Fatal(err)
				}
				continue
			}
			write(filepath.Join("sys/class/net", name, file), content)
		}
	}
	if machineID != "" {
		write("etc/machine-id", machineID)
	}
	return context.WithValue(t.Context(), common.EnvKey, common.EnvMap{
		common.HostSysEnvKey: filepath.Join(root, "sys"),
		common.HostEtcEnvKey: filepath.Join(root, "etc"),
	})
}

const (
	macA, macB = "00:1a:4b:00:00:01", "00:1a:4b:00:00:02"
	idA, idB   = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
)

func device(mac string) nic { return nic{"bus": "pci", "address": mac, "addr_assign_type": "0"} }

func TestHardwareIDFollowsThePermanentAddresses(t *testing.T) {
	both := map[string]nic{"eth0": device(macA), "eth1": device(macB)}
	want := hardwareID(t, host(t, idA, both))
	for name, nics := range map[string]map[string]nic{
		"renamed":       {"ens1": device(macB), "ens2": device(macA)},
		"bonded":        {"eth0": {"bus": "pci", "address": macB, "addr_assign_type": "3", "bonding_slave/perm_hwaddr": macA}, "eth1": device(macB), "bond0": {"address": macB}},
		"with a USB":    {"eth0": device(macA), "eth1": device(macB), "usb0": {"bus": "usb", "address": "00:e0:00:00:00:05", "addr_assign_type": "0"}},
		"with a VF":     {"eth0": device(macA), "eth1": device(macB), "eth0v0": {"bus": "pci", "device/physfn": "", "address": "00:e0:00:00:00:06", "addr_assign_type": "0"}},
		"random Wi-Fi":  {"eth0": device(macA), "eth1": device(macB), "wlan0": {"bus": "pci", "address": "52:00:00:00:00:07", "addr_assign_type": "1"}},
		"container net": {"eth0": device(macA), "eth1": device(macB), "veth1": {"address": "02:00:00:00:00:08", "addr_assign_type": "0"}},
	} {
		if got := hardwareID(t, host(t, idB, nics)); got != want {
			t.Errorf("%s: the id is %s, want %s", name, got, want)
		}
	}
	if got := hardwareID(t, host(t, idA, map[string]nic{"eth0": device(macA)})); got == want {
		t.Error("another set of devices has the same id")
	}
}

func TestHardwareIDOfAHostWithOnlyUSB(t *testing.T) {
	usb := nic{"bus": "usb", "address": macA, "addr_assign_type": "0"}
	a := hardwareID(t, host(t, idA, map[string]nic{"eth0": usb}))
	if b := hardwareID(t, host(t, idB, map[string]nic{"eth0": usb})); a != b {
		t.Error("the only USB adapter does not count")
	}
}

func TestHardwareIDFallsBackOnTheMachineID(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // elsewhere the machine id cannot be redirected
	}
	a := hardwareID(t, host(t, idA, nil))
	if a != hardwareID(t, host(t, idA, map[string]nic{"eth0": {"address": macA}})) {
		t.Error("an interface without a device changes the id")
	}
	if a == hardwareID(t, host(t, idB, nil)) {
		t.Error("another machine id gives the same id")
	}
	if a == idA {
		t.Error("the id shows the machine id")
	}
	for _, unset := range []string{"", "uninitialized"} {
		if id, err := facts.HardwareID(host(t, unset, nil)); err == nil {
			t.Errorf("machine id %q gives %s, want an error: a boot id or nothing is no identity", unset, id)
		}
	}
}

// Only root can read the product UUID, so it must never make a difference.
func TestHardwareIDIgnoresWhatOnlyRootCanRead(t *testing.T) {
	id := hardwareID(t, inFixture(t, "debian12"))
	want := hardwareID(t, host(t, "", map[string]nic{"eth0": device(macA), "eth1": device(macB)}))
	if id != want {
		t.Errorf("the id is %s, want %s: only the two ports count", id, want)
	}
}
