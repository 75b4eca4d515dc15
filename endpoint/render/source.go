package render

import (
	"time"

	"gitlab.com/rackn/provision/v4/models"
)

// Source is all that rendering needs to know of the endpoint. Its functions are
// called while templates execute, by the goroutine that renders and without any
// lock held.
type Source struct {
	Job            *models.Job
	Machine        *models.Machine
	BootEnv        *models.BootEnv // that the machine boots into, nil if it is gone
	Stage          *models.Stage   // that the machine is in, nil if it is gone
	Templates      []*models.Template
	APIURL         string // without /api/v3
	ProvisionerURL string // of static files

	// Param looks a param up as the machine sees it: own, profiles, stage,
	// global, schema default.
	Param func(key string) (any, bool)
	// Params are all values that Param chooses from, nearest first.
	Params func(key string) []any
	// MachineToken makes a token of the machine. With ttl 0 it lives as long as
	// DRP lets it.
	MachineToken func(ttl time.Duration) (string, error)
	// ProfileToken makes a token for a profile, or returns what DRP renders where
	// it allows none. With ttl 0 or less it lives as long as DRP lets it.
	ProfileToken func(profile string, ttl time.Duration) (string, error)
}
