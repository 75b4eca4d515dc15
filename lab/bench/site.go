package bench

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"time"

	"muster/internal/metrics"
	"muster/lab"
	"muster/profile/drp"
)

// prefix begins the names of all that is made on a foreign endpoint.
const prefix = "muster-bench-"

// cleanTime bounds taking away what was made on a foreign endpoint.
const cleanTime = 2 * time.Minute

// site is the endpoint that is measured, and the name of what is made there.
type site struct {
	served   *lab.Served // nil if it is a foreign one
	operator *lab.Operator
	admin    *drp.Client
	url      string
	caFile   string
	ca       []byte
	insecure bool   // it need not be verified
	own      string // token of the user
	name     string // of the profile and the workflow
	machines string // begins the names of machines
}

// open starts an endpoint with its files in dir, or goes to the foreign one. lost is
// told when one that was started ends.
func (s *site) open(ctx context.Context, cfg Config, dir string, lost func(error)) (err error) {
	access := lab.OperatorConfig{}
	s.name, s.machines = "bench", "node"
	if cfg.Foreign != nil {
		access = *cfg.Foreign
		id := make([]byte, 4)
		rand.Read(id)
		s.name = prefix + hex.EncodeToString(id)
		s.machines = s.name
		cfg.Say("what is made on the endpoint is called %s", s.name)
	} else {
		if s.served, err = lab.ServeEndpoint(ctx, cfg.Program, dir, cfg.Compat, lost); err != nil {
			return err
		}
		access.Endpoint, access.CAFile = s.served.URL, s.served.CAFile
	}
	if s.operator, err = lab.NewOperator(access); err != nil {
		return err
	}
	s.url, s.caFile, s.insecure = s.operator.Access()
	if s.caFile != "" {
		if s.ca, err = os.ReadFile(s.caFile); err != nil {
			return err
		}
	}
	if s.own, err = s.operator.OwnToken(ctx, tokenLife); err != nil {
		return err
	}
	s.admin, err = drp.New(s.reach(nil))
	return err
}

// reach is how members get to the endpoint.
func (s *site) reach(counted *metrics.Set) drp.Config {
	return drp.Config{Endpoint: s.url, CA: s.ca, Insecure: s.insecure, Metrics: counted}
}

// machine is the name of a member's machine.
func (s *site) machine(i int) string { return fmt.Sprintf("%s-%04d", s.machines, i+1) }

// tokens are a member's for its machine and for the profile. A foreign endpoint
// hands the latter out through templates only: there the user's own is both.
func (s *site) tokens(ctx context.Context, uuid string) (own, shared string, err error) {
	if s.served == nil {
		return s.own, s.own, nil
	}
	if own, err = s.served.Control.MachineToken(ctx, uuid, tokenLife); err != nil {
		return "", "", err
	}
	shared, err = s.served.Control.ProfileToken(ctx, uuid, s.name, tokenLife)
	return own, shared, err
}

// close ends an endpoint that was started; from a foreign one it takes away what was
// made there, also if that is not all.
func (s *site) close(ctx context.Context) (err error) {
	if s.served != nil {
		defer s.served.Stop()
	} else if s.own != "" {
		sweeping, cancel := context.WithTimeout(ctx, cleanTime)
		defer cancel()
		if err = s.operator.Sweep(sweeping, s.name); err != nil {
			err = fmt.Errorf("remove by hand from %s what is called %s*: %w", s.url, s.name, err)
		}
	}
	if s.admin != nil {
		s.admin.Close()
	}
	if s.operator != nil {
		s.operator.Close()
	}
	return err
}
