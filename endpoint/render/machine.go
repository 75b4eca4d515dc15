package render

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"gitlab.com/rackn/provision/v4/models"
)

// machine is .Machine of a template: the machine's fields and what DRP adds.
type machine struct {
	*models.Machine
	dot *dot
}

// Path is where DRP keeps the files of this machine, below its file server.
func (m *machine) Path() string { return path.Join(m.Prefix(), m.UUID()) }

// Url is the address of Path.
func (m *machine) Url() string { return m.dot.ProvisionerURL() + "/" + m.Path() }

// HexAddress is the IPv4 address in hexadecimal digits.
func (m *machine) HexAddress() string { return models.Hexaddr(m.Address) }

// ShortName is the name up to the first dot.
func (m *machine) ShortName() string {
	name, _, _ := strings.Cut(m.Name, ".")
	return name
}

// HasProfile says whether the machine itself carries a profile.
func (m *machine) HasProfile(name string) bool { return slices.Contains(m.Profiles, name) }

// MacAddr is the first hardware address, also in the form of pxelinux.
func (m *machine) MacAddr(format ...string) string {
	if len(m.HardwareAddrs) == 0 {
		return ""
	}
	mac := m.HardwareAddrs[0]
	if len(format) > 0 && format[0] == "pxelinux" {
		return "01-" + strings.ReplaceAll(mac, ":", "-")
	}
	return mac
}

// env is .Env of a template: the boot environment's fields and what DRP adds.
type env struct {
	*models.BootEnv
	dot *dot
}

// arch is the environment for the machine's architecture. What that does not say
// is as for all.
func (e *env) arch() models.ArchInfo {
	res := models.ArchInfo{Kernel: e.BootEnv.Kernel, Initrds: e.BootEnv.Initrds, BootParams: e.BootEnv.BootParams}
	for name, arch := range e.OS.SupportedArchitectures {
		if !models.ArchEqual(name, e.dot.Machine.Arch) {
			continue
		}
		if arch.Kernel != "" {
			res.Kernel = arch.Kernel
		}
		if len(arch.Initrds) > 0 {
			res.Initrds = arch.Initrds
		}
		if arch.BootParams != "" {
			res.BootParams = arch.BootParams
		}
	}
	return res
}

// Kernel is the partial path of the kernel.
func (e *env) Kernel() string { return e.arch().Kernel }

// Initrds are the partial paths of the initrds.
func (e *env) Initrds() []string { return e.arch().Initrds }

// PathFor is where a file of the environment would be found by tftp or http.
func (e *env) PathFor(proto, file string) (string, error) {
	tail := path.Join(e.OS.Name, "install", file)
	switch proto {
	case "tftp":
		return tail, nil
	case "http":
		return e.dot.ProvisionerURL() + "/" + tail, nil
	}
	return "", fmt.Errorf("expected protocol tftp or http, found %q", proto)
}

// InstallUrl is the address of what the environment installs from.
func (e *env) InstallUrl() (string, error) { return e.PathFor("http", "") }

// JoinInitrds are the places of all initrds, separated by spaces.
func (e *env) JoinInitrds(proto string) (string, error) {
	paths := []string{}
	for _, initrd := range e.Initrds() {
		p, err := e.PathFor(proto, initrd)
		if err != nil {
			return "", err
		}
		paths = append(paths, p)
	}
	return strings.Join(paths, " "), nil
}

// BootParams is the rendered kernel command line of the boot environment.
func (d *dot) BootParams() (string, error) {
	if d.Env == nil {
		return "", errors.New("the machine's boot environment does not exist")
	}
	v, err := d.expandValue("BootParams", d.Env.arch().BootParams)
	if err != nil {
		return "", err
	}
	return v.(string), nil
}
