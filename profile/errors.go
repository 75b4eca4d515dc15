package profile

import "errors"

// Sentinel errors of the contract. Stores return them wrapped with what was
// being done; read them with errors.Is.
var (
	// ErrConflict means that a test of the change did not hold: somebody else
	// wrote. Nothing was applied. Read again and decide again.
	ErrConflict = errors.New("profile: conflict")

	// ErrNotFound means that the profile or machine is absent, or that the
	// token may not read it: DRP answers 404 to both.
	ErrNotFound = errors.New("profile: not found")

	// ErrUnavailable means that the endpoint could not be asked, or answered
	// something that is not DRP's. A change was certainly not applied.
	ErrUnavailable = errors.New("profile: endpoint unavailable")

	// ErrUnknownOutcome means that a change was sent and no answer came: it
	// may have been applied, or may still be. Read back and look for one's
	// own write id; Member and Operator do.
	ErrUnknownOutcome = errors.New("profile: outcome unknown")

	// ErrRefused means that the endpoint refuses the token, or what was asked
	// with it, or that the token file cannot hold a token.
	ErrRefused = errors.New("profile: token refused")

	// ErrInvalid means that what is asked for makes no sense, or that the
	// endpoint rejects the content of a request (syntax, schema, names).
	// Sending it again will not help.
	ErrInvalid = errors.New("profile: invalid")

	// ErrNoSuch means that the profile has no member, role or slot of that
	// name, or several. The text lists those that were possible.
	ErrNoSuch = errors.New("profile: no such member, role or slot")

	// ErrNotNow means that the state of the cluster forbids what an operator
	// asks for. The text says what would have to be done first.
	ErrNotNow = errors.New("profile: not as things are")

	// ErrUnset means that the profile has no such param, or null for it.
	ErrUnset = errors.New("profile: param is not set")

	// ErrNotSeeded means that the profile does not (yet) carry what `muster
	// seed` plants.
	ErrNotSeeded = errors.New("profile: not seeded")

	// ErrMalformed means that a param does not have the documented shape,
	// most likely after an edit by hand. The text says which and what was
	// expected.
	ErrMalformed = errors.New("profile: malformed param")

	// ErrOpenRound means that a round cannot be opened while the present one has
	// no verdict.
	ErrOpenRound = errors.New("profile: the present round is open")

	// ErrCriteria means that a barrier has other criteria than those asked for.
	ErrCriteria = errors.New("profile: other criteria")

	// ErrLost means that somebody else won the race, or that the guard of an
	// operator's change did not hold, and that trying again is pointless.
	ErrLost = errors.New("profile: lost the race")

	// ErrTwin means that this process is not the only one that writes as this
	// member, or not the one that the record names. Stop acting.
	ErrTwin = errors.New("profile: identity conflict")

	// ErrForgotten means that an operator removed this member.
	ErrForgotten = errors.New("profile: member was forgotten")
)
