package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"muster/profile"
)

// TokenSource makes new tokens of this host's machine.
type TokenSource interface {
	// NewToken returns a token that is good for life, and that the endpoint has
	// taken once. profile.ErrNotFound: it makes none.
	NewToken(ctx context.Context, life time.Duration) (string, error)
}

// Times of the machine token. It is renewed at a moment between 50 and 70 % of
// its life. One of which nothing is known is renewed soon, for as long as DRP's
// own agent gets its token (wire contract, section 8).
const (
	renewFrom    = 0.5
	renewSpread  = 0.2
	unknownLife  = 1092 * 24 * time.Hour
	unknownSoon  = 5 * time.Minute
	tokenLook    = time.Minute // how often the file is looked at
	notOfferedIn = 24 * time.Hour
)

// errReplaced means that somebody else wrote a new token meanwhile.
var errReplaced = errors.New("agent: the token file was replaced meanwhile")

// issue is what is kept beside a token file, as NAME.json: tokens are opaque
// (wire contract, fact 7), so nobody can read there how long one lives.
type issue struct {
	Issued time.Time `json:"issued"` // at the latest, on the clock of this host
	TTL    int64     `json:"ttl"`    // seconds
	SHA256 string    `json:"sha256"` // of the token that this is about, in hexadecimal
}

func (i issue) life() time.Duration { return time.Duration(i.TTL) * time.Second }

// renewal keeps the token in a file alive.
type renewal struct {
	file   string
	source TokenSource
	log    hclog.Logger
	random func() float64

	sum  string    // of the token that due is about
	due  time.Time // when it is to be renewed, on the wall clock: a life spans restarts and suspends
	said string    // the trouble that was logged last

	looks chan struct{} // holds one token when the file is to be looked at now

	mu sync.Mutex
	at issue // what is known of the token; its zero value if nothing
}

func newRenewal(file string, source TokenSource, log hclog.Logger, random func() float64) *renewal {
	return &renewal{file: file, source: source, log: log, random: random, looks: make(chan struct{}, 1)}
}

// run renews until ctx ends, and returns its cause.
func (r *renewal) run(ctx context.Context) error {
	for {
		timer := time.NewTimer(r.turn(ctx))
		select {
		case <-timer.C:
		case <-r.looks:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

// look has the file looked at soon.
func (r *renewal) look() {
	select {
	case r.looks <- struct{}{}:
	default: // it is about to
	}
}

// turn looks at the file, does what is due, and returns when to look again.
func (r *renewal) turn(ctx context.Context) time.Duration {
	raw, err := os.ReadFile(r.file)
	token := bytes.TrimSpace(raw)
	if err != nil || len(token) == 0 {
		return tokenLook // there is nothing to renew until somebody writes one
	}
	now := time.Now().Round(0)
	switch sum := sumOf(token); {
	case sum != r.sum:
		r.meet(sum, now)
	case !now.Before(r.due):
		r.due = now.Add(r.renew(ctx, raw))
	}
	return min(tokenLook, max(0, time.Until(r.due)))
}

// meet plans the renewal of a token that was not seen before.
func (r *renewal) meet(sum string, now time.Time) {
	r.sum, r.said = sum, ""
	known, err := readIssue(r.file)
	if err != nil || known.SHA256 != sum || known.TTL <= 0 || known.Issued.After(now) {
		known = issue{}
		r.due = now.Add(time.Duration(r.random() * float64(unknownSoon)))
		r.log.Info("nothing is known of the life of the machine token: it is renewed soon, where the endpoint offers that", "file", r.file)
	} else {
		r.due = known.Issued.Add(time.Duration((renewFrom + renewSpread*r.random()) * float64(known.life())))
	}
	r.mu.Lock()
	r.at = known
	r.mu.Unlock()
}

// renew gets a new token in the place of the one that the file holds, and
// returns when to try next if that did not work.
func (r *renewal) renew(ctx context.Context, old []byte) (retry time.Duration) {
	life := r.known().life()
	if life == 0 {
		life = unknownLife
	}
	err := r.replace(ctx, old, life)
	switch {
	case err == nil:
		return 0 // the new one is met at once
	case ctx.Err() != nil:
	case errors.Is(err, errReplaced):
		return time.Second // and so is that
	case errors.Is(err, profile.ErrNotFound):
		r.say(hclog.Info, "the endpoint does not renew machine tokens: this one is used as long as it lives; have its task write a new one in time", err)
		return notOfferedIn
	default:
		r.say(hclog.Warn, "the machine token could not be renewed; it is tried again", err)
	}
	return time.Duration((0.5 + 0.5*r.random()) * float64(min(time.Hour, life/50)))
}

// replace asks for a new token and puts it and its issue in place.
func (r *renewal) replace(ctx context.Context, old []byte, life time.Duration) error {
	asked := time.Now().UTC().Truncate(time.Second)
	token, err := r.source.NewToken(ctx, life)
	if err != nil {
		return err
	}
	err = replaceFile(r.file, []byte(token+"\n"), func(name string) error { return r.mayReplace(name, old) })
	if err != nil {
		return err
	}
	known := issue{Issued: asked, TTL: int64(life / time.Second), SHA256: sumOf([]byte(token))}
	raw, err := json.Marshal(known)
	if err == nil {
		err = replaceFile(issueFile(r.file), append(raw, '\n'), nil)
	}
	if err != nil { // the token is good all the same, and is renewed once more
		r.log.Warn("the life of the new machine token could not be noted", "err", err)
	}
	r.log.Info("the machine token was renewed", "life", life)
	return nil
}

// mayReplace refuses if the file is not what the new token was made for. An
// agent of root gives the replacement to the owner of the file.
func (r *renewal) mayReplace(replacement string, old []byte) error {
	now, err := os.ReadFile(r.file)
	if err != nil || !bytes.Equal(now, old) {
		return errReplaced
	}
	info, err := os.Stat(r.file)
	if err != nil {
		return errReplaced
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		return os.Chown(replacement, int(owner.Uid), int(owner.Gid))
	}
	return nil
}

// say logs trouble once.
func (r *renewal) say(level hclog.Level, what string, err error) {
	if r.said != what {
		r.said = what
		r.log.Log(level, what, "file", r.file, "err", err)
	}
}

func (r *renewal) known() issue {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at
}

// left is how much of the token's life is left; known is false if that is not
// known.
func (r *renewal) left() (left time.Duration, known bool) {
	at := r.known()
	return time.Until(at.Issued.Add(at.life())), at.TTL > 0
}

func issueFile(token string) string { return token + ".json" }

func readIssue(token string) (issue, error) {
	raw, err := os.ReadFile(issueFile(token))
	if err != nil {
		return issue{}, err
	}
	var i issue
	if err := json.Unmarshal(raw, &i); err != nil {
		return issue{}, fmt.Errorf("%s: %w", issueFile(token), err)
	}
	return i, nil
}

func sumOf(token []byte) string {
	sum := sha256.Sum256(token)
	return hex.EncodeToString(sum[:])
}
