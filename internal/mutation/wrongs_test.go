package mutation

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"muster/profile"
)

// slotAt is the place of a slot's leaf.
func slotAt(role, n, leaf string) profile.Pointer {
	return profile.At(profile.ParamSlots, role, n, leaf)
}

// recordAt is a place in a member's record.
func recordAt(uuid string, parts ...string) profile.Pointer {
	return profile.At(profile.ParamMembers, append([]string{uuid}, parts...)...)
}

// barrierAt is a leaf of the barrier of round 1.
func barrierAt(leaf string) profile.Pointer {
	return profile.At(profile.ParamBarriers, profile.BarrierComplete, "1", leaf)
}

// changed is wrong if what is at p is not what it was before the request arrived.
func changed(p profile.Pointer, wrong string) func(*world) string {
	return func(w *world) string {
		before, _ := w.before.Lookup(p)
		if after, _ := w.Document().Lookup(p); bytes.Equal(before, after) {
			return ""
		}
		return wrong
	}
}

// falls is wrong if the number at p is lower than before the request arrived.
func falls(p profile.Pointer, wrong string) func(*world) string {
	return func(w *world) string {
		if before, after := number(w.before, p), number(w.Document(), p); after < before {
			return fmt.Sprintf("%s, from %d to %d", wrong, before, after)
		}
		return ""
	}
}

func number(d *profile.Document, p profile.Pointer) int64 {
	raw, _ := d.Lookup(p)
	n, _ := strconv.ParseInt(string(raw), 10, 64)
	return n
}

// backwards is wrong if a write of u1 lands after a later one.
func backwards(w *world) string {
	return falls(recordAt("u1", "seq"), "a write of the process before lands after those of the next one: `seq` of u1 falls")(w)
}

// late marks a scenario in which a sender that looks again may do the same.
func late(s scenario) scenario {
	s.late = true
	return s
}

// unlisted is wrong if an entry of cluster/leaders that is somebody else's is gone.
func unlisted(uuid, wrong string) func(*world) string {
	listed := func(d *profile.Document) bool {
		entries, _ := listedIn(d)
		return slices.Contains(entries, uuid)
	}
	return func(w *world) string {
		if listed(w.before) && !listed(w.Document()) {
			return wrong
		}
		return ""
	}
}

// listedIn returns whom cluster/leaders names.
func listedIn(d *profile.Document) (uuids []string, err error) {
	_, others, err := profile.Adoptable(d, nil)
	for _, entry := range others {
		uuids = append(uuids, profile.NamedBy(entry))
	}
	return uuids, err
}

// portal is the scenario in which somebody puts v there in DRP's portal.
func portal(path string, p profile.Pointer, v any, meanwhile string, wrong func(*world) string) scenario {
	return scenario{path: path, meanwhile: "in the portal " + meanwhile, do: func(w *world) { w.put(p, v) }, wrong: wrong}
}

// far is an epoch above all that a claim comes to in these worlds.
const far = int64(2_000_000_000)

// Paths of the leaves of slots and of members' records.
const (
	pathHolder   = profile.ParamSlots + " * * holder"
	pathInstance = profile.ParamSlots + " * * instance"
	pathEpoch    = profile.ParamSlots + " * * epoch"
	pathRenewal  = profile.ParamSlots + " * * renewal"
	pathWanted   = profile.ParamSlots + " * * wanted"
	pathSlots    = profile.ParamSlots + " *"
	pathSeq      = profile.ParamMembers + " * seq"
	pathBar      = profile.ParamMembers + " * barred *"
	pathEntry    = profile.ParamLeaders + " *"
	pathOps      = profile.ParamOps + " n"
	pathCount    = profile.ParamRoles + " * slots"
)
