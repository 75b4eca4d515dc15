package drp_test

import (
	"net"
	"testing"

	"muster/profile"
	"muster/profile/drp"
	"muster/profile/profiletest"
)

func TestStoreKeepsTheContract(t *testing.T) {
	profiletest.Run(t, fixture("", true))
}

func TestStoreKeepsTheContractOverHTTP1(t *testing.T) {
	profiletest.Run(t, fixture("", false))
}

func TestStoreWithoutVersionsKeepsTheContract(t *testing.T) {
	profiletest.Run(t, fixture("3.13", true))
}

// fixture serves profiles of an embedded endpoint, with a profile token.
// Without h2 even the faultless way goes through a proxy that speaks only HTTP/1.1.
func fixture(compat string, h2 bool) profiletest.Open {
	return func(t *testing.T, params profile.Params) profiletest.Fixture {
		r := serve(t, compat)
		r.profile(profiletest.Name, params)
		token := drp.Token(r.token(profiletest.Name))
		direct := r.client(t)
		if !h2 {
			direct = forward(t, r.URL(), false, -1).client(t)
		}
		var late []*proxy
		return profiletest.Fixture{
			Versioned: compat == "",
			Store:     func() profile.Store { return direct.Profile(profiletest.Name, token) },
			Faulty: func(fault profiletest.Fault) profile.Store {
				p := forward(t, r.URL(), h2, fault)
				store := p.client(t).Profile(profiletest.Name, token)
				if fault == profiletest.Late {
					late = append(late, p)
					return impatient{store, p.held}
				}
				return store
			},
			Arrive: func() {
				for _, p := range late {
					p.arrive()
				}
			},
			Missing:     direct.Profile("no such profile", r.auth),
			Refused:     direct.Profile(profiletest.Name, drp.Token("no-token-of-this-endpoint")),
			Unreachable: client(t, drp.Config{Endpoint: "https://" + nobody(t), CA: r.CertPEM()}).Profile(profiletest.Name, token),
		}
	}
}

// nobody returns an address where nobody listens.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
