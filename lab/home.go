package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Home is the directory of an agent, with its configuration, credentials and socket.
type Home string

// Place says where an agent belongs.
type Place struct {
	Endpoint string
	CAFile   string // "" is the system's authorities
	Insecure bool   // do not verify the endpoint
	Profile  string
	UUID     string // of the machine

	ProfileToken, MachineToken string
}

// Socket is the path of the agent's local socket.
func (h Home) Socket() string { return h.at("sock") }

func (h Home) at(file string) string { return filepath.Join(string(h), file) }

// Furnish makes the directory, for its owner only, with all that `muster agent`
// needs.
func (h Home) Furnish(p Place) error {
	config := fmt.Sprintf("endpoint: %s\nprofile: %s\nuuid: %s\nca_file: %q\ninsecure: %t\nprofile_token_file: %s\nmachine_token_file: %s\nstate_dir: %s\nsocket: %s\n",
		p.Endpoint, p.Profile, p.UUID, p.CAFile, p.Insecure, h.at("profile.token"), h.at("machine.token"), h.at("state"), h.Socket())
	return errors.Join(
		os.MkdirAll(string(h), 0o700),
		os.WriteFile(h.at("profile.token"), []byte(p.ProfileToken+"\n"), 0o600),
		os.WriteFile(h.at("machine.token"), []byte(p.MachineToken+"\n"), 0o600),
		os.WriteFile(h.at("muster.yaml"), []byte(config), 0o600),
	)
}

// Env is the environment of the processes that live there.
func (h Home) Env() []string {
	return append(CleanEnv(), "MUSTER_CONFIG="+h.at("muster.yaml"), "MUSTER_SOCKET="+h.Socket())
}
