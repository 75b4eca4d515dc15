package facts_test

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/shirou/gopsutil/v3/common"

	"muster/facts"
)

var update = flag.Bool("update", false, "write the golden sheets again")

// fixtures are slices of /proc, /sys and /etc, each with the sheet that must come of it in sheet.json.
var fixtures = []string{"debian12", "rocky9", "container"}

func inFixture(t *testing.T, name string) context.Context {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return context.WithValue(t.Context(), common.EnvKey, common.EnvMap{
		common.HostProcEnvKey: filepath.Join(root, "proc"),
		common.HostSysEnvKey:  filepath.Join(root, "sys"),
		common.HostEtcEnvKey:  filepath.Join(root, "etc"),
		common.HostRootEnvKey: root,
	})
}

// golden reads the sheet that a fixture must give.
func golden(t *testing.T, name string) facts.Sheet {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name, "sheet.json"))
	if err != nil {
		t.Fatal(err)
	}
	var sheet facts.Sheet
	if err := json.Unmarshal(content, &sheet); err != nil {
		t.Fatal(err)
	}
	return sheet
}

// gopsutil remembers its first answer about virtualization for the life of the process, so each fixture is read
// in a process of its own: this test binary, told by the environment to be that process.
func TestFixturesGiveTheirSheets(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // the fixtures are Linux trees
	}
	for _, name := range fixtures {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "sheet.json")
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWriteSheetOfFixture$")
			cmd.Env = append(os.Environ(), "FACTS_FIXTURE="+name, "FACTS_OUT="+out,
				"GORACE=atexit_sleep_ms=0") // the race detector waits a second for reports otherwise
			if output, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, output)
			}
			got, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name, "sheet.json")
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("sheet (-want +got):\n%s", diff)
			}
			if strings.Contains(string(got), "SECRET") || strings.Contains(string(got), "0123456789abcdef") {
				t.Error("the sheet carries a serial number or a machine id")
			}
		})
	}
}

// TestWriteSheetOfFixture is the process that TestFixturesGiveTheirSheets starts; by itself it does nothing.
func TestWriteSheetOfFixture(t *testing.T) {
	name := os.Getenv("FACTS_FIXTURE")
	if name == "" {
		return
	}
	sheet, err := facts.Collect(inFixture(t, name), facts.Config{AgentVersion: "v1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	// These come from system calls, which no fixture can redirect.
	sheet.Identity.Hostname, sheet.Identity.FQDN = name, ""
	sheet.OS.Kernel, sheet.OS.Architecture = "6.1.0", "x86_64"
	sheet.Interfaces = nil
	for i := range sheet.Filesystems {
		sheet.Filesystems[i].SizeBytes = 0
	}
	encoded, err := json.MarshalIndent(sheet, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(os.Getenv("FACTS_OUT"), append(encoded, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
