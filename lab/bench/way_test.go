package bench

import (
	"context"
	"errors"
	"testing"
)

func TestNothingIsSentOnAWayThatIsCut(t *testing.T) {
	w := newWay()
	before, end := w.bound(t.Context())
	defer end()
	if before.Err() != nil {
		t.Fatal("it is cut from the start")
	}
	w.cut(errCut)
	for range 100 {
		ctx, end := w.bound(t.Context())
		if !errors.Is(context.Cause(ctx), errCut) {
			t.Fatal("a request begins after the cut")
		}
		end()
	}
	<-before.Done()
}
