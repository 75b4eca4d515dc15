package endpoint

import (
	"encoding/json"

	"gitlab.com/rackn/provision/v4/models"
)

// taskDebug reads the params by which DRP 4 lets one retry, handle, skip and stop
// at tasks. Values of another type than theirs do not count; 3.13 has none of
// them.
func (t *tx) taskDebug(machine string) *models.TaskDebug {
	d := &models.TaskDebug{}
	rec := t.record("machines", machine)
	if rec == nil || t.s.compat313 {
		return d
	}
	for name, into := range map[string]any{
		"task-single-step":    &d.SingleStep,
		"task-stop-at":        &d.StopAt,
		"task-skip":           &d.Skip,
		"task-retry":          &d.Retry,
		"task-error-handlers": &d.ErrorHandlers,
	} {
		if raw, ok := t.param(rec, name, true); ok {
			_ = json.Unmarshal(raw, into)
		}
	}
	return d
}
