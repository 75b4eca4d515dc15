package memory_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"muster/profile"
	"muster/profile/memory"
	"muster/profile/profiletest"
)

func TestStoreKeepsTheContract(t *testing.T) {
	profiletest.RunIn(t, synctest.Test, fixture(true))
}

func TestStoreWithoutVersionsKeepsTheContract(t *testing.T) {
	profiletest.RunIn(t, synctest.Test, fixture(false))
}

func fixture(versioned bool) profiletest.Open {
	return func(t *testing.T, params profile.Params) profiletest.Fixture {
		p := memory.New(profiletest.Name, params)
		if !versioned {
			p.WithoutVersions()
		}
		refusing := func(err error) profile.Store {
			return p.Store(func(memory.Call) memory.Fault { return memory.Fault{Refuse: fmt.Errorf("%w: by the test", err)} })
		}
		var late []*memory.Store
		return profiletest.Fixture{
			Versioned: versioned,
			Store:     func() profile.Store { return p.Store(nil) },
			Faulty: func(fault profiletest.Fault) profile.Store {
				s := p.Store(func(c memory.Call) memory.Fault {
					switch {
					case c.Method != "Apply":
						return memory.Fault{}
					case fault == profiletest.Late:
						return memory.Fault{Delay: memory.Timeout + time.Minute}
					}
					return memory.Fault{LoseRequest: fault == profiletest.LoseRequest, LoseReply: fault == profiletest.LoseReply}
				})
				late = append(late, s)
				return s
			},
			Arrive: func() {
				for _, s := range late {
					s.Settle()
				}
			},
			Missing:     refusing(profile.ErrNotFound),
			Refused:     refusing(profile.ErrRefused),
			Unreachable: refusing(profile.ErrUnavailable),
		}
	}
}
