package endpoint

import (
	"errors"
	"fmt"
	"net/http"

	"gitlab.com/rackn/provision/v4/models"
)

// resume makes the server the one that its data file says, or a new one if there
// is none yet. A new one is in the file before anybody can know it.
func (s *Server) resume(cfg Config) error {
	if cfg.Data == "" {
		return s.startFresh(cfg)
	}
	var err error
	if s.data, err = openDataFile(cfg.Data); err != nil {
		return err
	}
	doc, err := s.data.read(cfg.Compat)
	if err != nil {
		return err
	}
	s.folder.Path = s.data.file.Path() + ".d"
	if _, err := s.folder.Open(); err != nil {
		return fmt.Errorf("endpoint: %w", err)
	}
	if doc == nil {
		if err := s.startFresh(cfg); err != nil {
			return err
		}
		if err := s.data.write(&tx{s: s.store, readOnly: true}); err != nil {
			return err
		}
	} else if err := s.startAgain(cfg, doc); err != nil {
		return err
	}
	s.store.persist = s.persist
	return nil
}

func (s *Server) startFresh(cfg Config) error {
	who, err := newIdentity(cfg.Compat, cfg.Listen)
	if err != nil {
		return err
	}
	if err := s.assume(who); err != nil {
		return err
	}
	if s.data != nil {
		if err := s.data.begin(who); err != nil {
			return err
		}
	}
	return s.seed()
}

// startAgain takes everything from the document, and adds nothing: what an
// endpoint has from the start may have been deleted on purpose.
func (s *Server) startAgain(cfg Config, doc *document) error {
	if err := s.assume(&doc.identity); err != nil {
		return s.data.unfit("%w: %s", err, wayOut)
	}
	if err := s.store.load(doc); err != nil {
		return s.data.unfit("expected objects as an endpoint has written them, found another: %w: %s", err, wayOut)
	}
	if !s.cert.covers(cfg.Listen) {
		s.log.Warn("clients that verify names will refuse the certificate here; it is kept for those that pin it", "listen", cfg.Listen)
	}
	return s.data.begin(&doc.identity)
}

// persist makes a transaction durable. One that it refuses must not come back: where
// it may be in the file all the same, that is written once more as it was. If this
// fails as well, the next change that can be written, or the end, puts it right.
func (s *Server) persist(t *tx) error {
	err := s.data.write(t)
	if err == nil {
		return nil
	}
	if err := s.data.takeBack(s.store); err != nil {
		s.log.Error("a change that is refused may be there after a restart, unless a later write succeeds first", "err", err)
	}
	return s.notKept("change", err)
}

// notKept is the answer to a request that was refused because what it brought
// cannot be written. Clients learn that, and the log says why.
func (s *Server) notKept(what string, err error) error {
	s.log.Error("refused, as it cannot be written to disk", "what", what, "err", err)
	return models.NewError("", http.StatusInternalServerError, "The "+what+" was refused: the endpoint cannot write it to disk. Its log says why")
}

// release gives the data file and the folder to others. Nothing can be changed
// from then on.
func (s *Server) release() error {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	s.store.persist = func(*tx) error { return shuttingDown() }
	return errors.Join(s.data.takeBack(s.store), s.folder.Close(), s.data.close())
}
