package endpoint

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// certificate is the endpoint's self-signed identity.
type certificate struct {
	pair tls.Certificate
	der  []byte
}

// makeCertificate makes a certificate for the loopback names and the listen
// host, and returns it and its key as PEM.
func makeCertificate(listen string) (cert, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", fmt.Errorf("endpoint: make key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return "", "", fmt.Errorf("endpoint: make serial: %w", err)
	}
	tmpl := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "muster endpoint"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().AddDate(10, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:                  true,
		BasicConstraintsValid: true,
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	host, err := listenHost(listen)
	if err != nil {
		return "", "", err
	}
	if ip := net.ParseIP(host); ip != nil {
		tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
	} else if host != "" {
		tmpl.DNSNames = append(tmpl.DNSNames, host)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &private.PublicKey, private)
	if err != nil {
		return "", "", fmt.Errorf("endpoint: make certificate: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", fmt.Errorf("endpoint: encode key: %w", err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return block("CERTIFICATE", der), block("PRIVATE KEY", pkcs8), nil
}

func listenHost(listen string) (string, error) {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("endpoint: listen address: %w", err)
	}
	return host, nil
}

// readCertificate reads what makeCertificate has returned.
func readCertificate(cert, key string) (*certificate, error) {
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		return nil, err
	}
	return &certificate{pair: pair, der: pair.Certificate[0]}, nil
}

// covers reports whether clients that verify names accept the certificate at a
// listen address, as far as its host tells.
func (c *certificate) covers(listen string) bool {
	host, err := listenHost(listen)
	if err != nil || host == "" {
		return true
	}
	return c.pair.Leaf.VerifyHostname(host) == nil
}

// CertPEM is the certificate in PEM, for clients that verify it by a CA file.
func (s *Server) CertPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.cert.der})
}

// Fingerprint is the SHA-256 of the DER certificate in lower-case hexadecimal,
// for clients that pin it.
func (s *Server) Fingerprint() string {
	sum := sha256.Sum256(s.cert.der)
	return hex.EncodeToString(sum[:])
}
