package drp_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"muster/internal/redact"
	"muster/profile"
	"muster/profile/drp"
	"muster/profile/profiletest"
)

func TestTheEndpointIsVerified(t *testing.T) {
	r, other := serve(t, ""), serve(t, "")
	r.profile(profiletest.Name, nil)
	var colons []string
	for i := 0; i < len(r.Fingerprint()); i += 2 {
		colons = append(colons, strings.ToUpper(r.Fingerprint()[i:i+2]))
	}
	for name, test := range map[string]struct {
		cfg  drp.Config
		says string // of the refusal; "" is none
	}{
		"by its certificate as CA":            {cfg: drp.Config{CA: r.CertPEM()}},
		"by its fingerprint":                  {cfg: drp.Config{Fingerprint: r.Fingerprint()}},
		"by its fingerprint with colons":      {cfg: drp.Config{Fingerprint: strings.Join(colons, ":")}},
		"by its fingerprint, whatever the CA": {cfg: drp.Config{Fingerprint: r.Fingerprint(), CA: other.CertPEM()}},
		"unless that is switched off":         {cfg: drp.Config{Insecure: true}},
		"not with another fingerprint":        {cfg: drp.Config{Fingerprint: other.Fingerprint(), CA: r.CertPEM()}, says: strings.Join(colons, ":")},
		"not with another CA":                 {cfg: drp.Config{CA: other.CertPEM()}, says: "certificate"},
		"not with the system's CAs":           {cfg: drp.Config{}, says: "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			test.cfg.Endpoint = r.URL()
			s := client(t, test.cfg).Profile(profiletest.Name, r.auth)
			_, err := s.Read(t.Context())
			if test.says == "" {
				if err != nil {
					t.Errorf("Read: %v", err)
				}
				return
			}
			if !errors.Is(err, profile.ErrUnavailable) || !strings.Contains(redact.Tokens(err.Error()), test.says) {
				t.Errorf("Read: %v, want %v that says %q", err, profile.ErrUnavailable, test.says)
			}
			c := &profile.Change{}
			c.Set(profile.At("test/count"), 1)
			if _, err := s.Apply(t.Context(), c); !errors.Is(err, profile.ErrUnavailable) || errors.Is(err, profile.ErrUnknownOutcome) {
				t.Errorf("Apply: %v, want %v: nothing was sent", err, profile.ErrUnavailable)
			}
		})
	}
}

func TestConfigsThatMakeNoSenseAreRefused(t *testing.T) {
	const secret = "s3cret"
	for says, cfg := range map[string]drp.Config{
		"endpoint: expected https":    {Endpoint: "http://localhost:8092"},
		"endpoint: expected https://": {Endpoint: "localhost:8092"},
		"endpoint":                    {Endpoint: ""},
		"found \"…@localhost:8092\"":  {Endpoint: "https://rocketskates:" + secret + "@localhost:8092"},
		"found \"…@local host\"":      {Endpoint: "https://rocketskates:" + secret + "@local host"},
		"ca_file":                     {Endpoint: "https://localhost:8092", CA: []byte("no PEM")},
		"fingerprint: expected":       {Endpoint: "https://localhost:8092", Fingerprint: "12:34"},
		"64 hexadecimal digits":       {Endpoint: "https://localhost:8092", Fingerprint: strings.Repeat("x", 64)},
	} {
		c, err := drp.New(cfg)
		if c != nil || err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), secret) {
			t.Errorf("New(%+v): error %v, want one that says %q and no password", cfg, err, says)
		}
	}
}

func TestTheFingerprintIsThatOfTheCertificateShown(t *testing.T) {
	r := serve(t, "")
	shown, err := drp.Shown(t.Context(), r.URL())
	if err != nil || shown.Trusted || !strings.EqualFold(strings.ReplaceAll(shown.Fingerprint, ":", ""), r.Fingerprint()) || time.Until(shown.Until) < time.Minute {
		t.Errorf("got %+v, %v, want %s", shown, err, r.Fingerprint())
	}
	if _, err := drp.Shown(t.Context(), "https://127.0.0.1:1"); !errors.Is(err, profile.ErrUnavailable) {
		t.Errorf("of nobody: %v", err)
	}
	if _, err := drp.Shown(t.Context(), "http://127.0.0.1:1"); err == nil || errors.Is(err, profile.ErrUnavailable) {
		t.Errorf("of no TLS: %v", err)
	}
}
