package install_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"muster/install"
	"muster/internal/redact"
)

func TestAnAgentThatSystemdDoesNotStartIsAnErrorThatSaysWhy(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	for _, row := range []struct{ show, status, says string }{
		{"ActiveState=active", "", ""},
		{"ActiveState=activating", "", ""},
		{"Job=12\nActiveState=inactive", "", ""}, // it waits for the network
		{"Job=\nActiveState=inactive", "  Condition: start condition unmet at Mon\n             ConditionPathExists=/var/lib/muster/credentials/profile.token was not met",
			"ConditionPathExists /var/lib/muster/credentials/profile.token was not met: put the profile token there"},
		{"Job=\nActiveState=inactive", "             └─ ConditionHost=other was not met", "ConditionHost other was not met: see `systemctl cat muster`"},
		{"Job=\nActiveState=inactive", "", "see `systemctl status muster`"},
	} {
		script := "#!/bin/sh\ncase $1 in\nshow) echo '" + row.show + "' ;;\nstatus) echo '" + row.status + "'; exit 3 ;;\nesac\n"
		if err := os.WriteFile(filepath.Join(dir, "systemctl"), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		err := install.Begun(t.Context())
		if row.says == "" && err == nil {
			continue
		}
		if row.says == "" || !errors.Is(err, install.ErrInvalid) || !strings.Contains(redact.Tokens(err.Error()), row.says) { // as the command says it
			t.Errorf("of %q: got %v, want %q", row.show, err, row.says)
		}
	}
}
