package facts_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"muster/facts"
)

// order is the documented order of leaving out.
var order = []string{
	"filesystems", "disks", "addresses", "interfaces", "agent", "details", "errors",
	"boot", "virtualization", "memory", "cpu", "os", "identity",
}

// sheets are fixtures of many shapes: the golden ones, an empty one, and one with the longest of everything.
func sheets(t *testing.T) map[string]facts.Sheet {
	t.Helper()
	all := map[string]facts.Sheet{"empty": {Schema: facts.Schema}, "large": large()}
	for _, name := range fixtures {
		all[name] = golden(t, name)
	}
	return all
}

func large() facts.Sheet {
	long := strings.Repeat("<é\"", 24) // 96 bytes that JSON escapes to more
	s := facts.Sheet{
		Schema:         facts.Schema,
		Agent:          long,
		Identity:       facts.Identity{Hostname: long, FQDN: long, MachineIDHash: strings.Repeat("a", 32)},
		OS:             facts.OS{ID: long, Name: long, Version: long, Kernel: long, Architecture: long},
		Boot:           facts.Boot{ID: long, Time: 1 << 40},
		Virtualization: facts.Virtualization{System: long, Role: long},
		CPU:            facts.CPU{Model: long, Sockets: 1 << 16, Cores: 1 << 16, Threads: 1 << 16},
		Memory:         facts.Memory{TotalBytes: 1 << 53, SwapBytes: 1 << 53},
		Errors:         map[string]string{"disks": long, "cpu": long, "memory": long},
	}
	for i := range 12 {
		s.Disks = append(s.Disks, facts.Disk{Name: fmt.Sprintf("sd%d", i), SizeBytes: 1 << 53, Rotational: true, Model: long})
		s.Filesystems = append(s.Filesystems, facts.Filesystem{Mount: long, Type: "ext4", SizeBytes: 1 << 53})
		s.Interfaces = append(s.Interfaces, facts.Interface{
			Name: fmt.Sprintf("eth%02d", i), MAC: "00:11:22:33:44:55", MTU: 9000,
			Addresses: []string{fmt.Sprintf("10.0.%d.1/24", i), fmt.Sprintf("2001:db8::%d/64", i)},
		})
	}
	return s
}

// budgets are all from 128 to 1024 bytes, where the steps lie close, and every 13th up to 4096.
func budgets() (all []int) {
	for b := 128; b <= 4096; b++ {
		if b <= 1024 || b%13 == 0 {
			all = append(all, b)
		}
	}
	return append(all, 4096)
}

func TestFitStaysWithinEveryBudgetAndMarksExactlyWhatItCut(t *testing.T) {
	for name, sheet := range sheets(t) {
		t.Run(name, func(t *testing.T) {
			before, _ := json.Marshal(sheet)
			cutBefore := len(order)
			for _, budget := range budgets() {
				encoded, err := sheet.Fit(budget)
				if err != nil {
					t.Fatal(err)
				}
				if len(encoded) > budget {
					t.Fatalf("budget %d: %d bytes: %s", budget, len(encoded), encoded)
				}
				var got facts.Sheet
				if err := json.Unmarshal(encoded, &got); err != nil {
					t.Fatalf("budget %d: %v: %s", budget, err, encoded)
				}
				if got.Schema != facts.Schema {
					t.Fatalf("budget %d: schema is %d", budget, got.Schema)
				}
				if want := missing(sheet, got); !slices.Equal(got.Cut, want) {
					t.Fatalf("budget %d: cut is %v, missing is %v", budget, got.Cut, want)
				}
				if len(got.Cut) > cutBefore {
					t.Fatalf("budget %d cuts %v, more than a smaller one", budget, got.Cut)
				}
				cutBefore = len(got.Cut)
			}
			once, _ := sheet.Fit(4096)
			if twice, _ := sheet.Fit(4096); string(once) != string(twice) {
				t.Errorf("two encodings differ:\n%s\n%s", once, twice)
			}
			if after, _ := json.Marshal(sheet); string(after) != string(before) {
				t.Error("Fit changed the sheet itself")
			}
		})
	}
}

// missing compares two sheets and names what the second lacks, independently of how Fit goes about it.
func missing(whole, got facts.Sheet) []string {
	lacks := map[string]bool{
		"filesystems":    len(whole.Filesystems) > len(got.Filesystems),
		"disks":          len(whole.Disks) > len(got.Disks),
		"interfaces":     len(whole.Interfaces) > len(got.Interfaces),
		"agent":          whole.Agent != got.Agent,
		"errors":         len(whole.Errors) > len(got.Errors),
		"boot":           whole.Boot != got.Boot,
		"virtualization": whole.Virtualization != got.Virtualization,
		"memory":         whole.Memory != got.Memory,
		"cpu":            whole.CPU != (facts.CPU{}) && got.CPU == facts.CPU{},
		"os":             whole.OS != (facts.OS{}) && got.OS == facts.OS{},
		"identity":       whole.Identity != (facts.Identity{}) && got.Identity == facts.Identity{},
	}
	for i, ifc := range got.Interfaces {
		lacks["addresses"] = lacks["addresses"] || len(ifc.Addresses) < len(whole.Interfaces[i].Addresses)
	}
	detailsGone := whole.Identity.MachineIDHash != got.Identity.MachineIDHash ||
		whole.OS.Name != got.OS.Name || whole.CPU.Model != got.CPU.Model
	lacks["details"] = detailsGone && !lacks["identity"]
	var names []string
	for _, name := range order {
		if lacks[name] {
			names = append(names, name)
		}
	}
	return names
}

func TestEverythingCutStillFits(t *testing.T) {
	encoded, err := large().Fit(128)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"schema":1,"cut":["filesystems","disks","interfaces","agent","errors","boot","virtualization","memory","cpu","os","identity"]}`
	if string(encoded) != want {
		t.Errorf("got  %s\nwant %s", encoded, want)
	}
}

func TestASheetThatFitsIsWhole(t *testing.T) {
	sheet := golden(t, "debian12")
	encoded, err := sheet.Fit(2048)
	if err != nil {
		t.Fatal(err)
	}
	var got facts.Sheet
	if err := json.Unmarshal(encoded, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sheet, got); diff != "" {
		t.Errorf("sheet (-want +got):\n%s", diff)
	}
}

func TestThePrimaryInterfaceKeepsItsAddressesLongest(t *testing.T) {
	sheet := facts.Sheet{Schema: facts.Schema, Interfaces: []facts.Interface{
		{Name: "eth0", Addresses: []string{"192.0.2.1/24", "2001:db8::1/64"}},
		{Name: "eth1", Addresses: []string{"198.51.100.1/24", "198.51.100.2/24", "198.51.100.3/24"}},
	}}
	encoded, err := sheet.Fit(140)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"schema":1,"interfaces":[{"name":"eth0","addresses":["192.0.2.1/24","2001:db8::1/64"]},{"name":"eth1"}],"cut":["addresses"]}`
	if string(encoded) != want {
		t.Errorf("got  %s\nwant %s", encoded, want)
	}
}

func TestASheetKeepsItsBudgetInsideAnotherDocument(t *testing.T) {
	encoded, err := large().Fit(1500)
	if err != nil {
		t.Fatal(err)
	}
	outer, err := json.Marshal([]json.RawMessage{encoded})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(outer), len(encoded)+2; got != want {
		t.Errorf("the sheet grew from %d to %d bytes", want-2, got-2)
	}
}

func TestNoBudgetNoSheet(t *testing.T) {
	for _, budget := range []int{-1, 0, 1, 127} {
		if encoded, err := large().Fit(budget); encoded != nil || err != nil {
			t.Errorf("budget %d gives %s, %v", budget, encoded, err)
		}
	}
}
