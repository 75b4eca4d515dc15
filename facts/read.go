package facts

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/shirou/gopsutil/v3/common"
)

const (
	maxText    = 96      // bytes of one text in a sheet
	maxEntries = 64      // disks, filesystems, interfaces, addresses of one interface
	maxFile    = 1 << 20 // bytes read of one file
	maxBytes   = 1 << 53 // 8 PiB, and what every JSON reader can hold exactly
)

// hostPath returns a path below /proc, /sys, /etc or /, redirected as gopsutil does it: by the context, else by
// the environment.
func hostPath(ctx context.Context, key common.EnvKeyType, elements ...string) string {
	root := ""
	if env, ok := ctx.Value(common.EnvKey).(common.EnvMap); ok {
		root = env[key]
	}
	if root == "" {
		root = os.Getenv(string(key))
	}
	if root == "" {
		switch key {
		case common.HostProcEnvKey:
			root = "/proc"
		case common.HostSysEnvKey:
			root = "/sys"
		case common.HostEtcEnvKey:
			root = "/etc"
		default:
			root = "/"
		}
	}
	return filepath.Join(append([]string{root}, elements...)...)
}

// readFile returns the trimmed content of a small file.
func readFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFile))
	return strings.TrimSpace(string(content)), err
}

// attribute is readFile where a missing file is no data: most of /sys is optional.
func attribute(path string) string {
	content, err := readFile(path)
	if err != nil {
		return ""
	}
	return content
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// text makes a string fit for a sheet: valid UTF-8 in one line, single spaces, at most maxText bytes.
func text(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxText {
		s = strings.TrimSpace(strings.ToValidUTF8(s[:maxText], ""))
	}
	return s
}

// size returns n, or 0 for no data if it cannot be a size.
func size(n uint64) uint64 {
	if n > maxBytes {
		return 0
	}
	return n
}

// count returns n, or 0 for no data if it cannot be a number of sockets, cores or threads.
func count(n int) int {
	if n < 0 || n > 1<<16 {
		return 0
	}
	return n
}

// digest returns 32 hex digits that stand for secret, different for each purpose.
func digest(purpose, secret string) string {
	mac := hmac.New(sha256.New, []byte("muster "+purpose))
	mac.Write([]byte(secret))
	return hex.EncodeToString(mac.Sum(nil))[:32]
}
