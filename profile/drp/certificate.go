package drp

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"muster/profile"
)

// Certificate is what an endpoint shows of itself.
type Certificate struct {
	Fingerprint string    // SHA-256, as openssl writes it
	Trusted     bool      // the authorities of this system vouch for it
	Until       time.Time // when it expires
}

// Shown returns the certificate that the endpoint shows now, whoever vouches for
// it. Who pins it trusts the network at this moment. The error is ErrUnavailable
// if the endpoint cannot be reached.
func Shown(ctx context.Context, endpoint string) (Certificate, error) {
	base, err := url.Parse(endpoint)
	if err != nil || base.Scheme != "https" || base.Host == "" {
		return Certificate{}, errors.New("endpoint: expected https://HOST:PORT")
	}
	host, port := base.Hostname(), base.Port()
	if port == "" {
		port = "443"
	}
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: &tls.Config{ServerName: host, InsecureSkipVerify: true}} // nothing is said to it
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return Certificate{}, fmt.Errorf("%w: %w", profile.ErrUnavailable, err)
	}
	defer conn.Close()
	shown := conn.(*tls.Conn).ConnectionState().PeerCertificates
	others := x509.NewCertPool()
	for _, c := range shown[1:] {
		others.AddCert(c)
	}
	_, err = shown[0].Verify(x509.VerifyOptions{DNSName: host, Intermediates: others})
	sum := sha256.Sum256(shown[0].Raw)
	return Certificate{Fingerprint: colons(sum[:]), Trusted: err == nil, Until: shown[0].NotAfter}, nil
}
