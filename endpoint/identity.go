package endpoint

import (
	"crypto/rand"
	"fmt"
)

// identity is what makes an endpoint the same one after a restart: that its
// ETags, tokens, passwords and certificate are still good.
type identity struct {
	Compat      string
	Life        string // of the store
	Pepper      []byte // of password hashes
	TokenKey    []byte
	Certificate string // PEM
	Key         string // PEM, of the certificate
}

// newIdentity makes one for an endpoint that listens there.
func newIdentity(compat, listen string) (*identity, error) {
	who := &identity{Compat: compat, Life: rand.Text()[:6], Pepper: []byte(rand.Text()), TokenKey: make([]byte, 32)}
	_, _ = rand.Read(who.TokenKey) // never fails
	var err error
	who.Certificate, who.Key, err = makeCertificate(listen)
	return who, err
}

// assume makes the server the one that the identity belongs to.
func (s *Server) assume(who *identity) (err error) {
	if s.cert, err = readCertificate(who.Certificate, who.Key); err != nil {
		return fmt.Errorf("endpoint: certificate and its key: %w", err)
	}
	if s.tokens, err = newSealer(who.TokenKey); err != nil {
		return err
	}
	s.pepper, s.store.life = who.Pepper, who.Life
	return nil
}
