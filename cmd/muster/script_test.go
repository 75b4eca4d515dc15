package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"muster/guard"
)

func TestMain(m *testing.M) {
	guard.Main()
	testscript.Main(m, map[string]func(){"muster": main, "beat": beat, "stubborn": stubborn})
}

// TestScripts runs every script against an embedded endpoint of its own, with
// muster as real processes. The scripts whose names begin with flow- also run
// against an endpoint of old times.
func TestScripts(t *testing.T) { scripts(t, "", "testdata/script/*.txtar") }

func TestMainFlowsOnOldEndpoint(t *testing.T) { scripts(t, "3.13", "testdata/script/flow-*.txtar") }

func scripts(t *testing.T, compat, pattern string) {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no script matches %s (%v)", pattern, err)
	}
	testscript.Run(t, testscript.Params{
		Files:               files,
		Setup:               func(env *testscript.Env) error { return setup(env, compat) },
		RequireExplicitExec: true,
		Condition: func(cond string) (bool, error) {
			if cond != "root" {
				return false, fmt.Errorf("unknown condition %s", cond)
			}
			return os.Geteuid() == 0, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"lose": plain(cmdLose), "find": plain(cmdFind), "spoil": plain(cmdSpoil), "unspoil": plain(cmdUnspoil), "hang": plain(cmdHang), "refuse": plain(cmdRefuse),
			"scribble": plain(cmdScribble), "consistent": plain(cmdConsistent), "remember": plain(cmdRemember), "same": plain(cmdSame),
			"fleet": plain(cmdFleet), "cluster": plain(cmdCluster), "profiles": plain(cmdProfiles), "machineparam": plain(cmdMachineParam),
			"profile": plain(cmdProfile), "machine": plain(cmdMachine), "token": plain(cmdToken),
			"as": plain(cmdAs), "patch": plain(cmdPatch), "param": plain(cmdParam), "tenure": plain(cmdTenure), "offer": plain(cmdOffer), "finish": plain(cmdFinish), "web": plain(cmdWeb),
			"declare": plain(cmdDeclare), "repeat": plain(cmdRepeat), "pipe": plain(cmdPipe),
			"call": plain(cmdCall), "golden": plain(cmdGolden), "until": plain(cmdUntil),
			"start": plain(cmdStart), "await": plain(cmdAwait), "end": plain(cmdEnd), "insist": plain(cmdInsist),
			"helper": plain(cmdHelper), "helping": plain(cmdHelping),
			"fault": plain(cmdFault), "cut": plain(cmdCut), "mend": plain(cmdMend), "apart": plain(cmdApart),
		},
	})
}

// plain is a command that cannot be negated.
func plain(cmd func(*testscript.TestScript, *stage, []string)) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg {
			ts.Fatalf("this command takes the exit code that is wanted, not !")
		}
		cmd(ts, ts.Value(stageKey{}).(*stage), args)
	}
}

func need(ts *testscript.TestScript, ok bool, usage string) {
	if !ok {
		ts.Fatalf("usage: %s", usage)
	}
}

// setup gives a script its endpoint and an environment of its own.
func setup(env *testscript.Env, compat string) error {
	s, err := newStage(env, compat)
	if err != nil {
		return err
	}
	env.Values[stageKey{}] = s
	var vars []string
	for _, v := range env.Vars {
		name, _, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, "RS_") && !strings.HasPrefix(name, "MUSTER_") {
			vars = append(vars, v)
		}
	}
	// The hardware is that of a host without devices, known by its machine id.
	etc := filepath.Join(env.WorkDir, ".etc")
	env.Vars = append(vars, "ENDPOINT="+s.server.URL(), "FINGERPRINT="+s.server.Fingerprint(), "NO_PROXY=*", "HOST_SYS="+filepath.Join(env.WorkDir, ".sys"), "HOST_ETC="+etc)
	return errors.Join(
		os.Mkdir(etc, 0o700),
		os.WriteFile(filepath.Join(etc, "machine-id"), []byte("00112233445566778899aabbccddeeff\n"), 0o600),
		os.WriteFile(filepath.Join(env.WorkDir, "ca.pem"), s.server.CertPEM(), 0o600),
	)
}
