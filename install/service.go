package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	"github.com/kardianos/service"
)

// Service is the agent as the host's service manager has it.
type Service interface {
	Install() error // registers it, to be started with the host
	Uninstall() error
	Start() error
	Stop() error
	Restart() error
	Reload() error // has the manager read its units again, whatever the agent does
	Running() (bool, error)
}

// systemd is what kardianos/service makes of a unit.
type systemd struct{ service.Service }

// idle is what kardianos/service would run if the agent were started by it.
type idle struct{}

func (idle) Start(service.Service) error { return nil }
func (idle) Stop(service.Service) error  { return nil }

// Systemd returns the service with this unit text. ErrInvalid: this host is not
// run by systemd.
func Systemd(unit string) (Service, error) {
	if platform := service.Platform(); platform != "linux-systemd" {
		return nil, fmt.Errorf("%w: expected a host that runs systemd, found %s: start `muster agent` by the means of this host", ErrInvalid, platform)
	}
	s, err := service.New(idle{}, &service.Config{Name: name, Option: service.KeyValue{"SystemdScript": unit}})
	if err != nil {
		return nil, fmt.Errorf("service manager: %w", err)
	}
	return systemd{s}, nil
}

// Start implements Service. It does not wait until the agent has joined, which
// takes as long as the endpoint is away; it does wait for one that ends at once, or that
// systemd does not start. ErrInvalid: a condition of the unit is not met.
func (s systemd) Start() error { return s.begin("start") }

// Restart implements Service, as Start does.
func (s systemd) Restart() error { return s.begin("restart") }

// Reload implements Service.
func (s systemd) Reload() error { return run(context.Background(), "systemctl", "daemon-reload") }

// endsSoon is within what time an agent ends that cannot run.
const endsSoon = 3 * time.Second

func (s systemd) begin(word string) error {
	if err := run(context.Background(), "systemctl", "--no-block", word, name); err != nil {
		return err
	}
	for end := time.Now().Add(endsSoon); time.Now().Before(end); time.Sleep(endsSoon / 10) {
		if _, err := s.Status(); err != nil {
			return err
		}
	}
	return begun(context.Background())
}

var (
	// unmet is how systemctl says which condition has kept a unit from being started.
	unmet = regexp.MustCompile(`(\w+)=(\S+) was not met`)
	// queued is how it says that something is still to be done with a unit.
	queued = regexp.MustCompile(`(?m)^Job=\d`)
)

// begun returns why the agent does not run and is not about to, which systemd takes for
// no failure.
func begun(ctx context.Context) error {
	show, err := exec.CommandContext(ctx, "systemctl", "show", "--property=ActiveState", "--property=Job", name).Output()
	if err != nil {
		return fmt.Errorf("systemctl show: %w", err)
	}
	if !bytes.Contains(show, []byte("ActiveState=inactive")) || queued.Match(show) {
		return nil
	}
	status, _ := exec.CommandContext(ctx, "systemctl", "status", "--no-pager", "--full", "--lines=0", name).Output() // it is not 0 for what does not run
	condition := unmet.FindStringSubmatch(string(status))
	switch {
	case condition == nil:
		return fmt.Errorf("%w: the agent does not run, and nothing is about to start it: see `systemctl status muster`", ErrInvalid)
	case filepath.Dir(condition[2]) == Credentials:
		return fmt.Errorf("%w: the agent was not started: %s %s was not met: put the profile token there, of mode 0600 and owner muster, or start workflow muster-bootstrap", ErrInvalid, condition[1], condition[2])
	}
	return fmt.Errorf("%w: the agent was not started: %s %s was not met: see `systemctl cat muster`", ErrInvalid, condition[1], condition[2])
}

// Running implements Service.
func (s systemd) Running() (bool, error) {
	status, err := s.Status()
	if errors.Is(err, service.ErrNotInstalled) {
		return false, nil
	}
	return status == service.StatusRunning, err
}
