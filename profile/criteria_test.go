package profile_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"muster/profile"
)

func TestCriteriaThatMakeNoSenseAreRefused(t *testing.T) {
	for name, row := range map[string]struct {
		c    profile.Criteria
		says string // part of the error; "" for none
	}{
		"none":                    {profile.Criteria{}, ""},
		"all":                     {profile.Criteria{Of: profile.OfArrival, Role: "db", AllowMissing: "10%", Deadline: "1h", FailFast: true}, ""},
		"nobody, without end":     {profile.Criteria{AllowMissing: "0%"}, ""},
		"of something else":       {profile.Criteria{Of: "departure"}, "of: expected complete or arrival"},
		"no duration":             {profile.Criteria{Deadline: "soon"}, "deadline: expected a duration such as 30m"},
		"negative deadline":       {profile.Criteria{Deadline: "-1s"}, "deadline"},
		"no count":                {profile.Criteria{AllowMissing: "few", Deadline: "1h"}, "allow-missing: expected a count such as 2"},
		"negative count":          {profile.Criteria{AllowMissing: "-1", Deadline: "1h"}, "allow-missing"},
		"more than all":           {profile.Criteria{AllowMissing: "101%", Deadline: "1h"}, "allow-missing"},
		"absent without deadline": {profile.Criteria{AllowMissing: "1"}, "needs a deadline"},
	} {
		t.Run(name, func(t *testing.T) {
			err := row.c.Check()
			if row.says == "" && err != nil || row.says != "" && (!errors.Is(err, profile.ErrInvalid) || !strings.Contains(err.Error(), row.says)) {
				t.Errorf("error %v, want one that says %q", err, row.says)
			}
		})
	}
}

func TestSharesOfTheMissingAreRoundedDown(t *testing.T) {
	for text, want := range map[string]int{"": 0, "0": 0, "3": 3, "10%": 1, "50%": 9, "100%": 19} {
		if got, err := (profile.Criteria{AllowMissing: text}).Allowed(19); got != want || err != nil {
			t.Errorf("%q of 19: got %d, error %v, want %d", text, got, err, want)
		}
	}
}

func TestOtherCriteriaThanTheRecordedOnesAreRefusedAndBothShown(t *testing.T) {
	word := func(s string) *string { return &s }
	yes := true
	recorded := profile.Criteria{Role: "db", Deadline: "1m0s", AllowMissing: "1"}
	for name, row := range map[string]struct {
		asked profile.Asked
		ok    bool
	}{
		"nothing":             {profile.Asked{}, true},
		"the same":            {profile.Asked{Role: word("db"), Deadline: word("60s"), AllowMissing: word("1")}, true},
		"another role":        {profile.Asked{Role: word("")}, false},
		"another deadline":    {profile.Asked{Deadline: word("61s")}, false},
		"no deadline":         {profile.Asked{Deadline: word("0s")}, false},
		"another allowance":   {profile.Asked{AllowMissing: word("1%")}, false},
		"failing at once too": {profile.Asked{FailFast: &yes}, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := row.asked.Check("b", recorded)
			if row.ok != (err == nil) || err != nil && (!errors.Is(err, profile.ErrCriteria) || strings.Count(err.Error(), `"role"`) != 2) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestABarrierIsOpenedOnceWithTheCriteriaOfTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, two())
		minute := "1m"
		operate := func(asked profile.Asked) error {
			_, err := profile.NewOperator(w.Store(nil)).Write(t.Context(), profile.BarrierSpec{Name: "b", Of: profile.OfComplete, Asked: asked}.Plan)
			return err
		}
		if err := operate(profile.Asked{Deadline: &minute}); err != nil {
			t.Fatal(err)
		}
		if err := operate(profile.Asked{}); err != nil {
			t.Errorf("who asks for nothing: error %v", err)
		}
		hour := "1h"
		if err := operate(profile.Asked{Deadline: &hour}); !errors.Is(err, profile.ErrCriteria) {
			t.Errorf("who asks for something else: error %v", err)
		}
		b, planted, err := w.Document().Barrier("b", 1)
		round, _ := w.Document().Round()
		if !planted || err != nil || b.ID != round.ID || b.Criteria.DeadlineIn() != time.Minute || b.Verdict != "" {
			t.Errorf("barrier %+v, planted %v, error %v", b, planted, err)
		}
	})
}

func TestARoundIsNotLeftWhileAnyOfItsBarriersIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, two())
		operator := profile.NewOperator(w.Store(nil))
		write := func(plan profile.Plan) error {
			_, err := operator.Write(t.Context(), plan)
			return err
		}
		if err := write(profile.BarrierSpec{Name: "b", Of: profile.OfArrival}.Plan); err != nil {
			t.Fatal(err)
		}
		if err := write(func(*profile.Document) (*profile.Change, error) {
			c := &profile.Change{}
			c.Set(profile.At(profile.ParamBarriers, profile.BarrierComplete, "1", "verdict"), profile.VerdictComplete)
			return c, nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := write(profile.RoundSpec{After: 1}.Plan); !errors.Is(err, profile.ErrOpenRound) || !strings.Contains(err.Error(), "barrier b of round 1") {
			t.Errorf("error %v, want one that names the barrier", err)
		}
		if err := write(profile.RoundSpec{After: 1, Force: true}.Plan); err != nil {
			t.Fatal(err)
		}
		if b, _, _ := w.Document().Barrier("b", 1); b.Verdict != profile.VerdictSuperseded {
			t.Errorf("verdict %q, want %q", b.Verdict, profile.VerdictSuperseded)
		}
		if b, _, _ := w.Document().Barrier(profile.BarrierComplete, 1); b.Verdict != profile.VerdictComplete {
			t.Errorf("the verdict that was there is %q now", b.Verdict)
		}
	})
}

// A barrier that is planted between an operator's read and write of the next
// round would be open for ever.
func TestABarrierThatIsOpenedMeanwhileDoesNotStayOpenInAnOldRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, two())
		before := w.Document()
		next, err := profile.RoundSpec{After: 1, Force: true}.Plan(before)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := profile.NewOperator(w.Store(nil)).Write(t.Context(), profile.BarrierSpec{Name: "b", Of: profile.OfArrival}.Plan); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Store(nil).Apply(t.Context(), next); !errors.Is(err, profile.ErrConflict) {
			t.Errorf("error %v, want %v", err, profile.ErrConflict)
		}
	})
}
