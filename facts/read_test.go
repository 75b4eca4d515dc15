package facts

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/shirou/gopsutil/v3/net"
)

func TestTextIsShortValidAndOnOneLine(t *testing.T) {
	for in, want := range map[string]string{
		"  a\tb\n\nc  ":                "a b c",
		"\x00\x1b[31mred":              "[31mred",
		"bad \xff byte":                "bad byte",
		strings.Repeat("x", 200):       strings.Repeat("x", maxText),
		"a" + strings.Repeat("é", 100): "a" + strings.Repeat("é", 47),
	} {
		if got := text(in); got != want || !utf8.ValidString(got) {
			t.Errorf("text(%q) is %q, want %q", in, got, want)
		}
	}
}

func TestAbsurdValuesAreNoData(t *testing.T) {
	if size(1<<53) == 0 || size(1<<53+1) != 0 || size(1<<64-1) != 0 {
		t.Error("sizes beyond 8 PiB must be no data, and only those")
	}
	if count(-1) != 0 || count(1<<16) == 0 || count(1<<16+1) != 0 {
		t.Error("counts below 0 and beyond 65536 must be no data, and only those")
	}
}

func TestFQDNComesFromTheHostsFileOnly(t *testing.T) {
	const hosts = `127.0.0.1 localhost localhost.localdomain
# 192.0.2.9 metal1.commented.example
192.0.2.1 metal10.example.com metal10
192.0.2.2 metal1.example.com metal1 # metal1.other.example
`
	for hostname, want := range map[string]string{
		"metal1":            "metal1.example.com",
		"metal1.example.eu": "metal1.example.eu",
		"localhost":         "",
		"unknown":           "",
		"":                  "",
	} {
		if got := fqdn(strings.NewReader(hosts), hostname); got != want {
			t.Errorf("fqdn of %q is %q, want %q", hostname, got, want)
		}
	}
}

func TestParsersSurviveNonsense(t *testing.T) {
	for _, nonsense := range []string{"", "=", "ID", "btime", "btime x", "zz 1 2 3 4 5", strings.Repeat("0", 2<<20)} {
		if got := parseBootTime(strings.NewReader(nonsense)); got != 0 {
			t.Errorf("boot time of %.10q is %d", nonsense, got)
		}
		if got := parseTemporary(strings.NewReader(nonsense)); len(got) != 0 {
			t.Errorf("temporary addresses of %.10q are %v", nonsense, got)
		}
		if got := parseOSRelease(strings.NewReader(nonsense)); got != (OS{}) {
			t.Errorf("OS of %.10q is %+v", nonsense, got)
		}
	}
}

func address(cidr ...string) (list net.InterfaceAddrList) {
	for _, a := range cidr {
		list = append(list, net.InterfaceAddr{Addr: a})
	}
	return list
}

func TestInterfacesAreThoseThatRestOnHardware(t *testing.T) {
	f, err := os.Open("testdata/debian12/proc/net/if_inet6")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	list := net.InterfaceStatList{
		{Name: "veth1", MTU: 1500, Addrs: address("10.9.9.9/24")},
		{Name: "lo", MTU: 65536, Flags: []string{"up", "loopback"}, Addrs: address("127.0.0.1/8")},
		{Name: "docker0", MTU: 1500, Addrs: address("172.17.0.1/16")},
		{Name: "eno1", MTU: 9000, HardwareAddr: "00:1a:4b:00:00:02", Addrs: address(
			"fe80::21a:4bff:fe00:1/64", "2001:db8::10/64", "2001:db8::abcd:abcd:abcd/64")},
		{Name: "bond0.100", MTU: 1500, Addrs: address("2001:db8:1::1/64", "192.0.2.20/24", "192.0.2.3/24", "junk")},
		{Name: "bond0", MTU: 9000},
	}
	got := describe(list, filepath.Join("testdata", "debian12", "sys", "class", "net"), parseTemporary(f))
	want := []Interface{
		{Name: "bond0", MTU: 9000},
		{Name: "bond0.100", MTU: 1500, Addresses: []string{"192.0.2.3/24", "192.0.2.20/24", "2001:db8:1::1/64"}},
		{Name: "eno1", MAC: "00:1a:4b:00:00:02", MTU: 9000, Addresses: []string{"2001:db8::10/64"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("interfaces (-want +got):\n%s", diff)
	}
	if got, want := PrimaryAddress(Sheet{Interfaces: got}), "192.0.2.3"; got != want {
		t.Errorf("primary address is %q, want %q", got, want)
	}
	if list[0].Name != "veth1" {
		t.Error("describe changed its argument")
	}

	inContainer := describe(list, filepath.Join("testdata", "container", "sys", "class", "net"), map[netip.Addr]bool{})
	if len(inContainer) != 5 || inContainer[4].Name != "veth1" {
		t.Errorf("without known hardware everything but loopback is listed, got %+v", inContainer)
	}
	if got := PrimaryAddress(Sheet{}); got != "" {
		t.Errorf("a host without addresses has the primary address %q", got)
	}
}
