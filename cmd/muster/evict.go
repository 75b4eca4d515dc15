package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"muster/profile"
)

func newEvict(a *app) *cobra.Command {
	var e profile.Evict
	cmd := a.mutation(&cobra.Command{
		Use:   "evict ROLE/SLOT|MEMBER --reason TEXT",
		Short: "Bar a member from a role and have its slot taken from it",
		Long: "Bars the holder of a slot (or a member from all roles in which it holds one) and asks it to end what runs\n" +
			"under the slot and to give it up; waits up to 30s until it has (exit 3 if not by then; the request stays).\n" +
			"The member may not claim the role until `muster allow`. Refused (exit 4) if nobody holds the slot, or the\n" +
			"member none. With --force the slot is freed at once: whatever the host runs under it may go on until the\n" +
			"host sees that. Needs RS_TOKEN or RS_KEY.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(e.Reason) == "" {
				return fmt.Errorf("%w: --reason: say why, for those who ask why the member may not claim; see `%s --help`", errUsage, cmd.CommandPath())
			}
			return a.evict(cmd.Context(), args[0], e)
		},
	})
	cmd.Flags().StringVar(&e.Reason, "reason", "", "why; it is shown where the member is barred, and in the history")
	cmd.Flags().BoolVar(&e.Force, "force", false, "free the slot at once, though its holder may still run something under it")
	return cmd
}

// evicted is what the command prints.
type evicted struct {
	Member said     `json:"member"`
	Slots  []string `json:"slots"` // that the member held, as ROLE/NUMBER
	Reason string   `json:"reason"`
	Forced bool     `json:"forced"`
}

func (a *app) evict(ctx context.Context, word string, e profile.Evict) error {
	short, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	store, d, err := a.open(short)
	if err != nil {
		return err
	}
	member, err := aim(d, word, &e)
	if err != nil {
		return err
	}
	held, err := e.Held(d)
	if err != nil {
		return err
	}
	if d, err = a.write(short, store, e.Plan); err != nil {
		return err
	}
	result := evicted{Member: member, Slots: names(held), Reason: e.Reason, Forced: e.Force}
	if e.Force {
		a.notice("what runs on %s under %s may go on until its host sees that it is evicted", member.Name, strings.Join(result.Slots, ", "))
	} else if err := a.left(ctx, store, d, e, member); err != nil {
		return err
	}
	return a.print(result, func(w io.Writer) {
		fmt.Fprintf(w, "%s is evicted from %s, and barred until `muster allow`\n", clean(member.Name), clean(strings.Join(result.Slots, ", ")))
	})
}

// aim points e at the slot or the member that a word means.
func aim(d *profile.Document, word string, e *profile.Evict) (said, error) {
	slots, err := d.Slots()
	if err != nil {
		return said{}, err
	}
	if i := strings.LastIndex(word, "/"); i >= 0 {
		if s, ok := slots[word[:i]][word[i+1:]]; ok && s.Free() {
			return said{}, fmt.Errorf("%w: slot %s is free: there is nobody to evict", profile.ErrNotNow, word)
		} else if ok {
			e.Member, e.Role, e.Slot = s.Holder, word[:i], word[i+1:]
			return said{UUID: s.Holder, Name: d.NameOf(s.Holder)}, nil
		}
	}
	member, err := find(d, word)
	if errors.Is(err, profile.ErrNoSuch) {
		err = fmt.Errorf("%w; nor is it a slot, as ROLE/NUMBER", err)
	}
	e.Member = member.UUID
	return member, err
}

// left waits until the member has left the slots that it held in d.
func (a *app) left(ctx context.Context, store profile.Store, d *profile.Document, e profile.Evict, member said) error {
	held, err := e.Held(d)
	if err != nil {
		return err
	}
	still := func(all allSlots) []profile.Tenure {
		return slices.DeleteFunc(slices.Clone(held), func(t profile.Tenure) bool {
			s := all[t.Role][t.Slot]
			return s.Holder != e.Member || s.Instance != t.Instance || s.Epoch != t.Epoch
		})
	}
	return a.handover(ctx, store, func(all allSlots) (bool, error) { return len(still(all)) == 0, nil }, func(all allSlots) string {
		return fmt.Sprintf("%s still holds %s; if its host is dead, `muster evict --force` frees the slot", member.Name, strings.Join(names(still(all)), ", "))
	})
}

// names writes slots as ROLE/NUMBER.
func names(held []profile.Tenure) []string {
	list := []string{}
	for _, t := range held {
		list = append(list, t.Role+"/"+t.Slot)
	}
	return list
}
