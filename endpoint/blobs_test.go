package endpoint_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"gitlab.com/rackn/provision/v4/api"

	"muster/endpoint"
)

// octets makes the headers of an upload.
var octets = []string{"Content-Type", "application/octet-stream"}

// fetch sends a raw request without a credential and returns its answer, whatever
// its content type.
func (c caller) fetch(method, url string, headers ...string) answer {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, url, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Error(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

func upload(t *testing.T, c *api.Client, content string, at ...string) {
	t.Helper()
	info, err := c.PostBlob(strings.NewReader(content), at...)
	if err != nil || info.Size != int64(len(content)) {
		t.Fatalf("upload of %q: %+v, %v", at, info, err)
	}
}

func TestClientUploadsListsReadsAndDeletesFiles(t *testing.T) {
	c := admin(t, start(t, ""))
	for _, kind := range []string{"files", "isos"} {
		upload(t, c, "first", kind, "a.txt")
		upload(t, c, "the second", kind, "a.txt")
		upload(t, c, "deep", kind, "sub", "dir", "b")
		upload(t, c, "", kind, "empty")
		var got bytes.Buffer
		if err := c.GetBlob(&got, kind, "a.txt"); err != nil || got.String() != "the second" {
			t.Errorf("%s: got %q, %v", kind, &got, err)
		}
		for where, want := range map[string][]string{"": {"a.txt", "empty", "sub/"}, "/sub": {"dir/"}, "sub/dir": {"b"}} {
			if names, err := c.ListBlobs(kind, "path", where); err != nil || !slices.Equal(names, want) {
				t.Errorf("%s: names in %q are %q, %v; want %q", kind, where, names, err, want)
			}
		}
		if _, err := c.ListBlobs(kind, "path", "a.txt"); status(err) != 404 {
			t.Errorf("%s: list of a file: %v", kind, err)
		}
		if err := c.DeleteBlob(kind, "sub"); status(err) != 404 || !strings.Contains(err.Error(), "Unable to delete") {
			t.Errorf("%s: removal of a folder that is not empty: %v", kind, err)
		}
		if err := errors.Join(c.DeleteBlob(kind, "sub", "dir", "b"), c.DeleteBlob(kind, "sub", "dir"), c.DeleteBlob(kind, "a.txt")); err != nil {
			t.Error(err)
		}
		if err := c.GetBlob(&got, kind, "a.txt"); status(err) != 404 || !strings.Contains(err.Error(), "Not a regular file") {
			t.Errorf("%s: a deleted file: %v", kind, err)
		}
	}
}

func TestClientDownloadsAFileOnlyIfItHasChanged(t *testing.T) {
	s := start(t, "")
	c := admin(t, s)
	upload(t, c, "version one", "files", "tool")
	if sum, err := c.GetBlobSum("files", "tool"); err != nil || sum != sumOf("version one") {
		t.Errorf("checksum %q, %v", sum, err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "tool"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 2 {
		if err := c.GetBlob(f, "files", "tool"); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(f.Name()); err != nil || string(got) != "version one" {
			t.Errorf("downloaded %q, %v", got, err)
		}
	}
	waitFor(t, func() bool { return s.Counts().Statuses[304] == 1 })
}

func sumOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

func TestFilesAreServedWithoutATokenBesideTheAPI(t *testing.T) {
	s := start(t, "")
	upload(t, admin(t, s), "0123456789", "files", "pkg", "muster.deb")
	upload(t, admin(t, s), "iso", "isos", "x.iso")
	c := as(t, s, "")
	url := s.URL() + "/files/pkg/muster.deb"
	sum := sumOf("0123456789")
	etag := `"SHA256:` + sum + `"`
	for _, want := range []struct {
		method, url string
		headers     []string
		status      int
		body        string
	}{
		{"GET", url, nil, 200, "0123456789"},
		{"HEAD", url, nil, 200, ""},
		{"GET", url, []string{"Range", "bytes=2-4"}, 206, "234"},
		{"GET", url, []string{"Range", "bytes=20-"}, 416, "invalid range: failed to overlap\n"},
		{"GET", url, []string{"If-None-Match", etag}, 304, ""},
		{"GET", s.URL() + "/isos/x.iso", nil, 200, "iso"},
	} {
		got := c.fetch(want.method, want.url, want.headers...)
		if got.status != want.status || got.body != want.body {
			t.Errorf("%s %s %q: got %d %q, want %d %q", want.method, want.url, want.headers, got.status, got.body, want.status, want.body)
		}
		if want.url == url && want.status < 300 && (got.header.Get("X-DRP-SHA256SUM") != sum || got.header.Get("ETag") != etag) {
			t.Errorf("%s %s: headers %v", want.method, want.url, got.header)
		}
	}
	for _, refused := range []string{"GET /files/pkg", "GET /files", "GET /files/nosuch", "GET /files/", "POST /files/new", "DELETE /files/pkg/muster.deb", "GET /new/x", "GET /logs/x"} {
		method, path, _ := strings.Cut(refused, " ")
		if got := c.fetch(method, s.URL()+path); got.status != 404 || got.fault(t).Code != 404 {
			t.Errorf("%s: %d %s", refused, got.status, got.body)
		}
	}
	if got := c.fetch("GET", s.URL()+"/api/v3/files/pkg/muster.deb"); got.status != 401 {
		t.Errorf("over the API without a token: %d", got.status)
	}
	info, err := admin(t, s).Info()
	if err != nil || info.SecureFilePort != info.ApiPort {
		t.Errorf("the info says that files are at port %d, %v; want %d", info.SecureFilePort, err, info.ApiPort)
	}
}

// As a task would install a package.
func TestCurlDownloadsAndChecksAPackage(t *testing.T) {
	s := start(t, "")
	dir := t.TempDir()
	content := strings.Repeat("package", 100_000)
	upload(t, admin(t, s), content, "files", "muster.deb")
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, s.CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	script := `set -e
cd "$1"
sum=$(curl -fsSI --cacert ca.pem "$2/files/muster.deb" | tr -d '\r' | sed -n 's/^[Xx]-[Dd][Rr][Pp]-[Ss][Hh][Aa]256[Ss][Uu][Mm]: //p')
curl -fsS --cacert ca.pem -O "$2/files/muster.deb"
echo "$sum  muster.deb" | sha256sum -c -
! curl -fsS --cacert ca.pem -O "$2/files/nosuch.deb"
`
	out, err := exec.CommandContext(t.Context(), "/bin/sh", "-c", script, "sh", dir, s.URL()).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestFilesNeedPermissions(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	plant(c)
	upload(t, admin(t, s), "x", "files", "x")
	machine, err := s.MachineToken(nodeID, 0)
	if err != nil {
		t.Fatal(err)
	}
	profile, err := s.ProfileToken(nodeID, "c1", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		token, method, path string
		status              int
	}{
		{machine, "GET", "/files/x", 200},
		{machine, "HEAD", "/files/x", 200},
		{machine, "GET", "/files", 200},
		{machine, "POST", "/files/y", 403},
		{machine, "POST", "/isos/y", 403},
		{machine, "DELETE", "/files/x", 403},
		{profile, "GET", "/files/x", 404},
		{profile, "HEAD", "/files/x", 404},
		{profile, "DELETE", "/files/x", 403},
	} {
		got := c.fetch(want.method, s.URL()+"/api/v3"+want.path, "Authorization", "Bearer "+want.token, "Content-Type", "application/octet-stream")
		if got.status != want.status {
			t.Errorf("%s %s: got %d %s, want %d", want.method, want.path, got.status, got.body, want.status)
		}
		if want.path == "/files" && got.body != "[]" {
			t.Errorf("without the permission the list is %s", got.body)
		}
	}
}

func TestUploadsThatAreRefusedLeaveNothing(t *testing.T) {
	cfg := endpoint.Config{Data: dataFile(t)}
	s, _ := run(t, cfg)
	c := asAdmin(t, s)
	upload(t, admin(t, s), "old", "files", "taken")
	upload(t, admin(t, s), "x", "files", "dir", "x")
	for what, want := range map[string]struct {
		path, body string
		headers    []string
		status     int
		says       string
	}{
		"wrong sum":        {"/files/taken", "new", append(octets, "X-DRP-SHA256SUM", sumOf("other")), 400, "found " + sumOf("new")},
		"JSON":             {"/files/taken", "{}", nil, 415, "application/octet-stream needed"},
		"a form":           {"/files/taken", "{}", []string{"Content-Type", "multipart/form-data; boundary=x"}, 415, "application/octet-stream needed"},
		"explode":          {"/files/taken?explode=true", "new", octets, 400, "explode is not supported"},
		"into a file":      {"/files/taken/deeper/still", "new", octets, 409, "mkdir /tftpboot/files/taken: not a directory"},
		"over a folder":    {"/files/dir", "new", octets, 409, "/tftpboot/files/dir: is a directory"},
		"a long name":      {"/files/" + strings.Repeat("n", 300), "new", octets, 400, "Invalid path"},
		"a long folder":    {"/files/" + strings.Repeat("n", 300) + "/x", "new", octets, 400, "Invalid path"},
		"a list's path":    {"/files", "new", octets, 404, "No route"},
		"a trailing slash": {"/files/new/", "new", octets, 404, "No route"},
	} {
		got := c.do("POST", want.path, want.body, want.headers...)
		if e := got.fault(t); got.status != want.status || len(e.Messages) != 1 || !strings.Contains(e.Messages[0], want.says) {
			t.Errorf("%s: got %d %s; want %d, %s", what, got.status, got.body, want.status, want.says)
		}
	}
	if got := c.do("POST", "/files/fine", "new", append(octets, "X-DRP-SHA256SUM", strings.ToUpper(sumOf("new")))...); got.status != 201 {
		t.Errorf("an upload with the right sum: %d %s", got.status, got.body)
	}
	if left, err := os.ReadDir(filepath.Join(cfg.Data+".d", "new")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if got := as(t, s, "").fetch("GET", s.URL()+"/files/taken"); got.body != "old" {
		t.Errorf("a refused upload replaced the file: %s", got.body)
	}
}

// An upload that is too large is refused by what it says of itself.
func TestUploadThatSaysItIsTooLargeIsRefusedAtOnce(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	conn := c.dial(s)
	fmt.Fprintf(conn, "POST /api/v3/files/huge HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", c.auth, int64(16<<30)+1)
	status := make([]byte, len("HTTP/1.1 413"))
	if _, err := io.ReadFull(conn, status); err != nil || string(status) != "HTTP/1.1 413" {
		t.Errorf("got %q, %v", status, err)
	}
}

// dial opens a connection on which a test can write what it likes.
func (c caller) dial(s *endpoint.Server) net.Conn {
	c.t.Helper()
	trust := c.http.Transport.(*http.Transport).TLSClientConfig
	conn, err := tls.Dial("tcp", strings.TrimPrefix(s.URL(), "https://"), &tls.Config{RootCAs: trust.RootCAs})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() })
	return conn
}

func TestBrokenUploadLeavesTheOldFile(t *testing.T) {
	cfg := endpoint.Config{Data: dataFile(t)}
	s, _ := run(t, cfg)
	c := asAdmin(t, s)
	upload(t, admin(t, s), "old", "files", "x")
	conn := c.dial(s)
	fmt.Fprintf(conn, "POST /api/v3/files/x HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Type: application/octet-stream\r\nContent-Length: 100\r\n\r\nhalf", c.auth)
	incoming := func() int {
		names, err := os.ReadDir(filepath.Join(cfg.Data+".d", "new"))
		if err != nil {
			t.Error(err)
		}
		return len(names)
	}
	waitFor(t, func() bool { return incoming() == 1 })
	conn.Close()
	waitFor(t, func() bool { return incoming() == 0 })
	if got := c.fetch("GET", s.URL()+"/files/x"); got.body != "old" {
		t.Errorf("the file is %q", got.body)
	}
}

func TestPathsThatLeadOutAreRefused(t *testing.T) {
	cfg := endpoint.Config{Data: dataFile(t)}
	s, _ := run(t, cfg)
	c := asAdmin(t, s)
	upload(t, admin(t, s), "x", "files", "dir", "x")
	files := filepath.Join(cfg.Data+".d", "files")
	outside := filepath.Join(t.TempDir(), "outside")
	if err := errors.Join(
		os.WriteFile(outside, []byte("outside"), 0o600),
		os.Symlink(outside, filepath.Join(files, "absolute")),
		os.Symlink("../../"+filepath.Base(cfg.Data), filepath.Join(files, "data")),
		os.Symlink(filepath.Dir(outside), filepath.Join(files, "folder")),
		os.Symlink("../logs", filepath.Join(files, "logs")),
		os.Symlink("dir/x", filepath.Join(files, "inside")),
	); err != nil {
		t.Fatal(err)
	}
	before := tree(t, files, filepath.Dir(outside))
	for _, name := range []string{
		"..", "../x", "dir/../dir/x", "%2e%2e/" + filepath.Base(cfg.Data), "%2e%2e%2f%2e%2e%2f" + filepath.Base(cfg.Data),
		"..%2f..%2f" + filepath.Base(cfg.Data), "%2fetc%2fpasswd", "%2Fetc/passwd", "dir%2f%2fx", "dir/.%2fx", ".%2e/x", "a%00b", "%00",
		"dir%5cx", "..%5cx", "%2e", "absolute", "data", "folder/outside", "inside", "logs/x", "dir/x%2f", "dir/x/x",
	} {
		for _, prefix := range []string{"/api/v3/files/", "/files/"} {
			if got := c.fetch("GET", s.URL()+prefix+name, "Authorization", c.auth); got.status != 404 && got.status != 400 {
				t.Errorf("GET %s%s: %d %s", prefix, name, got.status, got.body)
			}
		}
		for _, method := range []string{"POST", "DELETE"} {
			switch name {
			case "absolute", "data", "inside": // links themselves may go
				continue
			}
			if got := c.do(method, "/files/"+name, "evil", octets...); got.status/100 != 4 {
				t.Errorf("%s %s: %d %s", method, name, got.status, got.body)
			}
		}
		if got := c.do("GET", "/files?path="+name, ""); got.status/100 != 4 && name != "dir/x%2f" {
			t.Errorf("list of %s: %d %s", name, got.status, got.body)
		}
	}
	if after := tree(t, files, filepath.Dir(outside)); !slices.Equal(before, after) {
		t.Errorf("files are\n%q, were\n%q", after, before)
	}
}

// tree lists all that is below some folders, with its content.
func tree(t *testing.T, roots ...string) (all []string) {
	t.Helper()
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			var content []byte
			if err == nil && d.Type().IsRegular() {
				content, err = os.ReadFile(path)
			}
			all = append(all, path+" "+string(content))
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	return all
}

func TestFilesSurviveARestartAndFollowWhatIsPutThereByHand(t *testing.T) {
	cfg := endpoint.Config{Data: dataFile(t)}
	s, stop := run(t, cfg)
	upload(t, admin(t, s), "tool", "files", "bin", "tool")
	s, _ = restart(t, stop, cfg)
	c := as(t, s, "")
	get := func(want string) {
		t.Helper()
		got := c.fetch("GET", s.URL()+"/files/bin/tool")
		if got.body != want || got.header.Get("X-DRP-SHA256SUM") != sumOf(want) {
			t.Errorf("got %q with %v, want %q", got.body, got.header, want)
		}
	}
	get("tool")
	if err := os.WriteFile(filepath.Join(cfg.Data+".d", "files", "bin", "tool"), []byte("longer tool"), 0o600); err != nil {
		t.Fatal(err)
	}
	get("longer tool")
}

func TestTemporaryFolderIsGoneAfterTheEnd(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s, stop := run(t, endpoint.Config{})
	if left := tree(t, os.TempDir()); len(left) != 1 {
		t.Errorf("before the first upload there is %q", left)
	}
	upload(t, admin(t, s), "x", "files", "x")
	if there := tree(t, os.TempDir()); len(there) < 2 {
		t.Errorf("there is only %q", there)
	}
	stop()
	if left := tree(t, os.TempDir()); len(left) != 1 {
		t.Errorf("left behind: %q", left)
	}
}

// Whoever reads sees one of the uploads whole, with its own checksum.
func TestReadersSeeWholeUploads(t *testing.T) {
	s := start(t, "")
	writer, c := admin(t, s), as(t, s, "")
	versions := []string{strings.Repeat("a", 100_000), strings.Repeat("b", 200_000)}
	upload(t, writer, versions[0], "files", "x")
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				got := c.fetch("GET", s.URL()+"/files/x")
				if !slices.Contains(versions, got.body) || got.header.Get("X-DRP-SHA256SUM") != sumOf(got.body) {
					t.Errorf("read %d bytes with %v", len(got.body), got.header)
				}
			}
		})
	}
	for i := range 40 {
		upload(t, writer, versions[i%2], "files", "x")
	}
	close(done)
	readers.Wait()
}
