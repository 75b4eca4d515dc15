package scenario

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// do carries out an action, and says what was done, with the members that it was
// done to.
func (st *stage) do(ctx context.Context, a *Action) (string, error) {
	members, err := st.find(a.Members)
	if err != nil {
		return "", err
	}
	if a.As != "" {
		st.labels[a.As] = members
	}
	what := a.Verb
	switch a.Verb {
	case verbEndpoint:
		for _, h := range st.hosts {
			h.line.set(a.Up)
		}
		if a.Up {
			return "endpoint up", nil
		}
		return "endpoint down", nil
	case verbOperator:
		return "muster " + strings.Join(a.Words, " "), st.muster(ctx, a.Words...)
	case verbRound:
		return st.round(ctx, a.Round)
	case verbRun:
		what += " " + a.Step + " on"
	}
	what += " " + strings.Join(members, ", ")
	if a.As != "" {
		what += " (" + a.As + ")"
	}
	if a.Verb == verbComplete || a.Verb == verbFail {
		st.awaitRuns(ctx)
	}
	for _, m := range members {
		if err := st.doTo(ctx, a, st.hosts[m]); err != nil {
			return what, fmt.Errorf("%s: %w", m, err)
		}
	}
	return what, nil
}

// doTo carries out an action on one member.
func (st *stage) doTo(ctx context.Context, a *Action, h *host) (err error) {
	switch a.Verb {
	case verbKill:
		h.kill()
	case verbStop:
		err = h.stop(ctx)
	case verbRestart:
		if err = h.stop(ctx); err == nil {
			err = h.start()
		}
	case verbDrop:
		h.line.drop()
	case verbPartition:
		h.line.freeze()
	case verbHeal:
		h.line.thaw()
	case verbExpire:
		err = st.site.expire(h.name)
	case verbRenew:
		err = h.writeTokens(ctx)
	case verbComplete:
		_, err = st.operator.CompleteWorkflow(ctx, h.uuid)
	case verbFail:
		_, err = st.operator.FailWorkflow(ctx, h.uuid, "failed by the scenario")
	case verbRun:
		i := slices.IndexFunc(st.s.Steps, func(s Step) bool { return s.Name == a.Step })
		err = h.run(ctx, st.s.Steps[i])
	}
	return err
}

// round opens the next round, and then starts its workflow on all machines.
func (st *stage) round(ctx context.Context, r Round) (string, error) {
	words := append([]string{"round"}, r.words()...)
	what := "muster " + strings.Join(words, " ")
	if err := st.muster(ctx, words...); err != nil {
		return what, err
	}
	st.site.drain(ctx) // what is expected next is expected of this round
	return what, st.startWorkflow(ctx, r.Workflow)
}

// find says who is meant by the words of an action now.
func (st *stage) find(words []string) ([]string, error) {
	var members []string
	for _, word := range words {
		switch what, of, found := strings.Cut(word, ":"); {
		case found:
			member, err := st.who(what, of)
			if err != nil {
				return nil, err
			}
			members = append(members, member)
		default:
			members = append(members, st.resolve([]string{word})...)
		}
	}
	return members, nil
}

// who is the member that holds a slot, the lowest one held of a role, or that runs a step.
func (st *stage) who(what, of string) (member string, err error) {
	st.world.do(func(s *state) {
		if what == "running" {
			running := (&Expectation{About: aboutRunning, AnyOf: []string{of}}).set(s)
			if len(running) > 0 {
				member = running[0]
			}
			return
		}
		role, slot, numbered := strings.Cut(of, "/")
		lowest := 0
		for number, m := range s.holders[role] {
			if n, err := strconv.Atoi(number); err == nil && (numbered && number == slot || !numbered && (member == "" || n < lowest)) {
				member, lowest = m, n
			}
		}
	})
	if st.hosts[member] == nil {
		return "", fmt.Errorf("%s:%s: expected a member, found nobody at this moment; expect one before", what, of)
	}
	return member, nil
}

// resolve turns names, labels and `all` into members.
func (st *stage) resolve(words []string) []string {
	members := []string{}
	for _, word := range words {
		switch labeled, ok := st.labels[word]; {
		case word == allMembers:
			members = append(members, st.s.Members...)
		case ok:
			members = append(members, labeled...)
		default:
			members = append(members, word)
		}
	}
	return members
}

// labeled says who the labels among these words are.
func (st *stage) labeled(words ...string) string {
	var b strings.Builder
	for _, label := range slices.Sorted(maps.Keys(st.labels)) {
		if slices.Contains(words, label) {
			fmt.Fprintf(&b, "; %s is %s", label, strings.Join(st.labels[label], ", "))
		}
	}
	return b.String()
}
