package endpoint

import "gitlab.com/rackn/provision/v4/models"

// validate checks a record that is about to be staged.
func (t *tx) validate(rec, old *record) error {
	if v, ok := rec.head.(models.Validator); ok {
		v.ClearValidation()
		v.Validate()
		if err := v.HasError(); err != nil {
			return &models.Error{Model: rec.head.Prefix(), Key: rec.key, Type: "ValidationError", Code: 422, Messages: err.(*models.Validation).Errors}
		}
	}
	if v, ok := rec.head.(models.ValidateSetter); ok {
		v.SetValid()
		v.SetAvailable()
	}
	return nil
}

// usersOf says, one message each, which objects need this one.
func (t *tx) usersOf(rec *record) []string { return nil }
