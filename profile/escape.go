package profile

import (
	"encoding/json"
	"fmt"
)

// Escape breaks every wait at this cluster, or, with Clear, lets members wait
// again. Code is what cluster/escape is set to, 0 to 4; its presence alone
// breaks waits.
type Escape struct {
	Code  int
	Clear bool
}

// Plan returns a nil change if that is so already.
func (e Escape) Plan(d *Document) (*Change, error) {
	if e.Code < 0 || e.Code > 4 {
		return nil, fmt.Errorf("%w: escape: expected a code of 0 to 4, found %d", ErrInvalid, e.Code)
	}
	raw, present := d.Params[ParamEscape]
	c := &Change{}
	switch {
	case e.Clear && !present:
		return nil, nil
	case e.Clear:
		c.Remove(At(ParamEscape))
		return c, nil
	case present && SameJSON(raw, json.RawMessage(fmt.Sprint(e.Code))):
		return nil, nil
	}
	c.Set(At(ParamEscape), e.Code)
	return c, nil
}
