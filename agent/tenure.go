package agent

import (
	"context"
	"encoding/json"
	"fmt"

	"muster/profile"
)

// Setting is a param that is to be set under a tenure.
type Setting struct {
	Key    string          `json:"key"`
	Value  json.RawMessage `json:"value"`
	Tenure profile.Tenure  `json:"tenure"` // as its holder was told, never as read
}

// Set implements Local.
func (a *Agent) Set(ctx context.Context, s Setting) error {
	plan, err := s.Tenure.Set(s.Key, s.Value)
	if err != nil {
		return err
	}
	_, err = a.member.Write(ctx, plan)
	return a.written(err)
}

// Resign implements Local.
func (a *Agent) Resign(ctx context.Context, role string) (profile.Tenure, error) {
	t, err := a.peer.Elector.Resign(ctx, role)
	if err != nil {
		return t, fmt.Errorf("resign: %w", err)
	}
	return t, nil
}
