package drp

import (
	"context"
	"encoding/json"
	"errors"

	"muster/profile"
)

// ErrDryRun is what a DryRun answers to every change: it was not sent.
var ErrDryRun = errors.New("drp: shown and not sent")

// DryRun is a Store that reads as another does, and shows what it would send in
// the place of sending it.
type DryRun struct {
	*Store
	// Show gets the body of each request, as the endpoint would.
	Show func(body json.RawMessage) error
}

// Apply shows the JSON Patch of c, and returns ErrDryRun.
func (d DryRun) Apply(_ context.Context, c *profile.Change) (*profile.Document, error) {
	patch, err := encode(c)
	if err != nil {
		return nil, err
	}
	return nil, d.show(patch)
}

// Create shows the profile that would be made, and returns ErrDryRun.
func (d DryRun) Create(_ context.Context, description string, params profile.Params) error {
	body, err := json.Marshal(d.object(description, params))
	if err != nil {
		return err
	}
	return d.show(body)
}

func (d DryRun) show(body json.RawMessage) error {
	if err := d.Show(body); err != nil {
		return err
	}
	return ErrDryRun
}
