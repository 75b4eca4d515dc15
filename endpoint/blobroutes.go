package endpoint

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"syscall"
	"time"

	"gitlab.com/rackn/provision/v4/models"
)

const (
	// maxBlob bounds one uploaded file, in bytes: larger than any installation
	// medium, and small enough to notice a client that never stops.
	maxBlob = 16 << 30

	sumHeader = "X-DRP-SHA256SUM"
)

// blobRoutes are the routes of uploaded files.
func (s *Server) blobRoutes() (all []route) {
	for _, kind := range []string{filesDir, isosDir} {
		all = append(all,
			route{"GET", "/" + kind, s.listBlobs(kind)},
			route{"GET", "/" + kind + "/{path...}", s.getBlob(kind)},
			route{"POST", "/" + kind + "/{path...}", s.postBlob(kind)},
			route{"DELETE", "/" + kind + "/{path...}", s.deleteBlob(kind)},
		)
	}
	return all
}

// listBlobs answers GET of the names in the folder that the option path names.
// Without the permission the list is empty, as those of objects are.
func (s *Server) listBlobs(kind string) handler {
	return func(w http.ResponseWriter, r *http.Request, p *principal) error {
		where := r.URL.Query().Get("path")
		name := strings.Trim(where, "/")
		if name != "" && !goodName(name) {
			return badName(kind, where)
		}
		if !p.can(kind, "list", name) {
			return writeJSON(w, http.StatusOK, []string{})
		}
		names, err := s.blobs.list(kind, name)
		if errors.Is(err, errNoBlob) {
			return &models.Error{Model: kind, Key: "/" + name, Code: http.StatusNotFound, Messages: []string{"Not a directory"}}
		}
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, names)
	}
}

// getBlob answers GET and HEAD of a file, to clients with a token.
func (s *Server) getBlob(kind string) handler {
	return func(w http.ResponseWriter, r *http.Request, p *principal) error {
		name := r.PathValue("path")
		if !p.can(kind, "get", name) {
			return noBlob(kind, name)
		}
		return s.sendBlob(w, r, kind, name)
	}
}

// getStatic answers GET and HEAD of a file below the root of the server. It asks
// for no token: so does the server for static files that DRP has beside its API,
// from which machines load what they need before they have one.
func (s *Server) getStatic(kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := s.sendBlob(w, r, kind, r.PathValue("path")); err != nil {
			s.refuse(w, r, err)
		}
	}
}

func (s *Server) sendBlob(w http.ResponseWriter, r *http.Request, kind, name string) error {
	if !goodName(name) {
		return noBlob(kind, name)
	}
	f, err := s.blobs.open(kind, name)
	if errors.Is(err, errNoBlob) {
		return noBlob(kind, name)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set(sumHeader, f.sum)
	h.Set("ETag", `"SHA256:`+f.sum+`"`)
	http.ServeContent(patientWriter{w, http.NewResponseController(w)}, r, "", f.info.ModTime(), f)
	return nil
}

// patientWriter gives every part of a long answer the time that a short one gets.
type patientWriter struct {
	http.ResponseWriter
	limit *http.ResponseController
}

func (w patientWriter) Write(b []byte) (int, error) {
	_ = w.limit.SetWriteDeadline(time.Now().Add(writeTime))
	return w.ResponseWriter.Write(b)
}

// patientReader gives every part of a long body the time that a short one gets.
type patientReader struct {
	io.Reader
	limit *http.ResponseController
}

func (r patientReader) Read(b []byte) (int, error) {
	_ = r.limit.SetReadDeadline(time.Now().Add(readTime))
	return r.Reader.Read(b)
}

// postBlob answers POST of a file: 201 once it is there whole, and durable.
func (s *Server) postBlob(kind string) handler {
	return func(w http.ResponseWriter, r *http.Request, p *principal) error {
		name := r.PathValue("path")
		if err := authorize(p, kind, "post", name); err != nil {
			return err
		}
		if !goodName(name) {
			return badName(kind, name)
		}
		if err := acceptable(r); err != nil {
			err.Model, err.Key = kind, "/"+name
			return err
		}
		up, err := s.blobs.receive(kind, name)
		if err != nil {
			return s.blobFault(kind, name, err)
		}
		defer func() { _ = up.discard() }() // what is left is removed at the next start
		size, sum, err := copyBody(up, w, r)
		if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return &models.Error{
				Model: kind, Key: "/" + name, Code: http.StatusRequestEntityTooLarge,
				Messages: []string{fmt.Sprintf("Expected at most %d bytes, found more", tooLarge.Limit)},
			}
		}
		if err != nil {
			return s.blobFault(kind, name, err)
		}
		if want := r.Header.Get(sumHeader); want != "" && !strings.EqualFold(want, sum) {
			return &models.Error{
				Model: kind, Key: "/" + name, Code: http.StatusBadRequest,
				Messages: []string{fmt.Sprintf("Expected the SHA-256 %s that %s says, found %s", want, sumHeader, sum)},
			}
		}
		if err := s.blobs.keep(up, kind, name, sum); err != nil {
			return s.blobFault(kind, name, err)
		}
		if kind == filesDir {
			name = "/" + name // as DRP has it
		}
		return writeJSON(w, http.StatusCreated, models.BlobInfo{Path: name, Size: size})
	}
}

// acceptable checks what the headers of an upload say.
func acceptable(r *http.Request) *models.Error {
	explode, err := flag(r.URL.Query(), "explode")
	if err != nil || explode {
		return models.NewError("", http.StatusBadRequest, "explode is not supported: this endpoint keeps files as they are. Unpack the archive and upload its files")
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/octet-stream" {
		return models.NewError("", http.StatusUnsupportedMediaType, "Invalid content type: application/octet-stream needed")
	}
	if r.ContentLength > maxBlob {
		return models.NewError("", http.StatusRequestEntityTooLarge, fmt.Sprintf("Expected at most %d bytes, found %d", maxBlob, r.ContentLength))
	}
	return nil
}

// errBody marks errors of receiving a body, as opposed to those of keeping it.
var errBody = errors.New("cannot read the body")

type bodyReader struct{ io.Reader }

func (r bodyReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if err != nil && err != io.EOF { // io.Copy wants that one bare
		err = fmt.Errorf("%w: %w", errBody, err)
	}
	return n, err
}

// copyBody writes the body of a request to a file and returns its size and sum.
func copyBody(to io.Writer, w http.ResponseWriter, r *http.Request) (int64, string, error) {
	limit := http.NewResponseController(w)
	hash := sha256.New()
	body := bodyReader{patientReader{http.MaxBytesReader(w, r.Body, maxBlob), limit}}
	size, err := io.Copy(io.MultiWriter(to, hash), body)
	if err == nil { // otherwise the rest of the body must not be waited for
		_ = limit.SetReadDeadline(time.Time{})
	}
	return size, hex.EncodeToString(hash.Sum(nil)), err
}

// deleteBlob answers DELETE of a file or of an empty folder.
func (s *Server) deleteBlob(kind string) handler {
	return func(w http.ResponseWriter, r *http.Request, p *principal) error {
		name := r.PathValue("path")
		if err := authorize(p, kind, "delete", name); err != nil {
			return err
		}
		err := errNotRemoved
		if goodName(name) {
			err = s.blobs.remove(kind, name)
		}
		if errors.Is(err, errNotRemoved) {
			return &models.Error{Model: kind, Key: name, Code: http.StatusNotFound, Messages: []string{"Unable to delete"}}
		}
		if err != nil {
			return s.notKept("removal of "+kind+"/"+name, err)
		}
		writeHeader(w, http.StatusNoContent)
		return nil
	}
}

// blobFault is the answer to an upload that failed.
func (s *Server) blobFault(kind, name string, err error) error {
	e := &models.Error{Model: kind, Key: "/" + name, Messages: []string{err.Error()}}
	_, isTaken := errors.AsType[*errTaken](err)
	switch {
	case errors.Is(err, errBody):
		e.Code = http.StatusBadRequest
	case isTaken:
		e.Code = http.StatusConflict
	case errors.Is(err, syscall.ENAMETOOLONG):
		return badName(kind, name)
	default:
		return s.notKept("file", err)
	}
	return e
}

func noBlob(kind, name string) error {
	return &models.Error{Model: kind, Key: "/" + name, Code: http.StatusNotFound, Messages: []string{"Not a regular file"}}
}

func badName(kind, name string) error {
	return &models.Error{
		Model: kind, Key: "/" + strings.TrimPrefix(name, "/"), Code: http.StatusBadRequest,
		Messages: []string{"Invalid path: expected names joined by slashes, without . and .."},
	}
}
