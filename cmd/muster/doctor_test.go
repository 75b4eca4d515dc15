package main

import (
	"os"
	"path/filepath"
	"testing"

	"muster/config"
)

func TestTheDoctorFailsAServiceThatIsEnabledAndDoesNotAnswer(t *testing.T) {
	dir := t.TempDir()
	none := func(string) string { return "" }
	file := filepath.Join(dir, "muster.yaml")
	if err := os.WriteFile(file, []byte("endpoint: https://x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		systemctl string
		flags     map[string]string
		want      finding
	}{
		{"exit 1", nil, finding{State: "warn", Says: "no agent answers on /run/muster/muster.sock: `systemctl status muster` says why"}},
		{"printf 'UnitFileState=\\nActiveState=inactive\\n'", nil, finding{State: "warn", Says: "no agent answers on /run/muster/muster.sock: `systemctl status muster` says why"}},
		{"printf 'UnitFileState=enabled\\nActiveState=activating\\n'", map[string]string{"socket": "/other"}, finding{State: "warn", Says: "no agent answers on /other: `systemctl status muster` says why"}},
		{"printf 'ActiveState=activating\\nUnitFileState=enabled\\n'", nil,
			finding{State: "fail", Says: "the service is enabled and activating, and no agent answers on /run/muster/muster.sock: `systemctl status muster` and `journalctl -u muster` say why"}},
	} {
		if err := os.WriteFile(filepath.Join(dir, "systemctl"), []byte("#!/bin/sh\n"+row.systemctl+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", dir)
		cfg, err := config.Load(file, none, row.flags)
		if err != nil {
			t.Fatal(err)
		}
		e := &exam{app: &app{cfg: cfg}}
		e.silent(t.Context())
		if got := e.findings[0]; got.State != row.want.State || got.Says != row.want.Says || (got.err == nil) != (row.want.State == "warn") {
			t.Errorf("%s: got %v", row.systemctl, got)
		}
	}
}
