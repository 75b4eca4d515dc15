package scenario

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"muster/lab"
	"muster/profile"
)

// foreign is an endpoint of others, on which nothing else may be disturbed: all that is
// made has a name of its own or is refused, and is removed at the end.
type foreign struct {
	boss    *lab.Operator
	cluster string
	end     context.CancelFunc
	watcher sync.WaitGroup
	told    func(*profile.Document)
	reading sync.Mutex // reads are told in the order in which they were sent
	minting bool
}

// newForeign sends nothing.
func newForeign(boss *lab.Operator) site {
	id := make([]byte, 4)
	_, _ = rand.Read(id) // never fails
	return &foreign{boss: boss, cluster: "muster-scenario-" + hex.EncodeToString(id), end: func() {}}
}

func (f *foreign) url() string             { return f.boss.URL() }
func (f *foreign) profile() string         { return f.cluster }
func (f *foreign) operator() *lab.Operator { return f.boss }

func (f *foreign) tokens(ctx context.Context, uuid string) (shared, own string, err error) {
	if !f.minting {
		if err := f.boss.AddTokenWorkflow(ctx, f.cluster, f.cluster, int(tokenLife/time.Second)); err != nil {
			return "", "", err
		}
		f.minting = true
	}
	return f.boss.MemberTokens(ctx, uuid, f.cluster)
}

// readEvery is how often the profile is read.
const readEvery = 200 * time.Millisecond

func (f *foreign) watch(ctx context.Context, told func(*profile.Document)) error {
	f.told = told
	if err := f.read(ctx); err != nil {
		return err
	}
	ctx, f.end = context.WithCancel(ctx)
	f.watcher.Go(func() {
		tick := time.NewTicker(readEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_ = f.read(ctx) // what cannot be read is not seen, and tried again
			case <-ctx.Done():
				return
			}
		}
	})
	return nil
}

func (f *foreign) read(ctx context.Context) error {
	f.reading.Lock()
	defer f.reading.Unlock()
	d, err := f.boss.Profile(ctx, f.cluster)
	if err == nil {
		f.told(d)
	}
	return err
}

func (f *foreign) drain(ctx context.Context) { _ = f.read(ctx) }

func (f *foreign) expire(string) error {
	return errors.New("only the embedded endpoint can do that")
}

// cleanTime bounds how long removing everything may take.
const cleanTime = time.Minute

func (f *foreign) close(st *stage) error {
	f.end()
	f.watcher.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), cleanTime)
	defer cancel()
	var faults []error
	for _, h := range st.hosts {
		_, err := f.boss.RemoveMachine(ctx, h.uuid)
		faults = append(faults, err)
	}
	for _, w := range st.made {
		faults = append(faults, f.boss.RemoveWorkflow(ctx, w, st.work(w)))
	}
	if f.minting {
		faults = append(faults, f.boss.RemoveWorkflow(ctx, f.cluster, f.cluster))
	}
	if st.planted {
		faults = append(faults, f.boss.RemoveProfile(ctx, f.cluster))
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("the endpoint could not be cleaned up: %w", err)
	}
	return nil
}
