package agent

import (
	"context"
	"fmt"

	"muster/profile"
)

// Resign implements Local.
func (a *Agent) Resign(ctx context.Context, role string) (profile.Tenure, error) {
	t, err := a.peer.Elector.Resign(ctx, role)
	if err != nil {
		return t, fmt.Errorf("resign: %w", err)
	}
	return t, nil
}
