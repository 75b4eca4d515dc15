// Package endpoint is an embedded Digital Rebar (DRP) endpoint: the part of the
// DRP API that cluster coordination needs, over TLS, in memory or kept in a file.
//
// It exists so that agents can be demonstrated, measured and tested against
// real sockets, real tokens and DRP's own client without a DRP server.
//
// What it guarantees:
//
//   - One lock. Every change of any object, a JSON Patch on the object URL as
//     well as one on its /params URL, is evaluated and committed under one lock:
//     of several guarded patches racing for one value exactly one wins.
//   - All or nothing. A refused request changes nothing.
//   - One order. Change events, long-poll wake-ups and OnCommit calls follow the
//     order of commits.
//   - Tokens carry the powers that DRP gives them and no others: a user's roles,
//     one machine, or one profile. They are sealed; holders cannot read them. Where
//     DRP 4's behaviour is not known, powers stay narrow: a profile inherits only
//     what its writer may read, a pack brings users and roles only for those who may
//     make them, a cluster gives power over its profile only if that was made for it,
//     and a runner changes nothing of its job but the state and what came of it.
//   - With Config.Data nobody sees a change, by an answer, a read, an event or a
//     long poll, that a crash could undo. A write that has no answer is there after
//     the restart whole or not at all. The same holds for job logs and uploads.
//     A write that a failing disk made the server refuse may be there after a
//     restart only if the process ends before it could write the file again; the
//     log says so.
//   - No request ends or holds up the server: bodies, objects, patches, schemas,
//     templates and filters are bounded (limits.go and the packages below this
//     one), slow clients are cut off, and a websocket whose client does not read is
//     closed with 1013.
//
// Files that clients upload to /api/v3/files and /api/v3/isos can be read there with
// a token that allows it, and by everybody at /files and /isos of the same address:
// that is what a template's ProvisionerURL means. Both tell the SHA-256 and serve
// ranges. A folder is listed over the API only.
//
// What it does not do: it does not unpack what is uploaded, has no DHCP and no
// plugins, and does not run work orders. Objects that name what is not there are
// stored but not available, except machines, which are refused. Where DRP leaks (it
// echoes refused tokens, prints params into patch errors, answers HEAD without a
// claim), this endpoint does not.
//
// Task lists run by the rules in DRP's own models package, retries, error handlers
// and the params task-retry, task-error-handlers, task-skip, task-stop-at and
// task-single-step included. Entries stage:S, bootenv:B and context:C change the
// machine when its runner comes to them, without a job of their own; chroot:D is a
// job that is finished when it is made, for the runner to act on; action:A needs a
// plugin and is refused. The position moves on when the runner asks for its next
// job, so WorkflowComplete follows the end of the last task by one request. The
// templates of a task may write 16 MiB and take 5 s.
//
// Clusters and resource brokers are machines: GET /machines lists them too, and
// Meta machine-role tells them apart. Making one makes a profile of the same name,
// or adds the one that is there. A profile that is made gets the params and profiles
// that the new cluster was sent with, but for those whose Meta has no-cluster "true";
// beyond that, what DRP 4 moves and when is not known. Only a profile that was made
// goes with its cluster, and only if nobody else carries it.
//
// With Config.Compat "3.13" it behaves as the last public DRP server does: no
// ETag and no long poll, no machine token route, no WorkflowComplete and other
// later fields (but Context, which the present runner needs), and lists filter by
// inherited params. Both modes answer what is not permitted as 3.13 does: a list
// without the claim is empty and an object is 404. What DRP 4 does then is not
// known, and neither is whether its long poll differs from this one.
//
// Filters of lists refuse values that cannot be of the type of an index or declared
// param. Of an object that lacks it, Ne, Nin and Except are true and all else false.
//
// Event registrations may have a filter, as on DRP 4; with "3.13" a dot after the
// second one belongs to the key, and a command has 512 bytes at most. All writes are
// update events: there is no save. Server logs are not events.
//
// JSON Patch is that of DRP 4's library: for a test an integer never equals a
// number written with a fraction or an exponent, so that 1 is not 1.0, and patched
// objects come back with sorted keys and such numbers in their shortest form.
//
// It can be made to fail on purpose: see Fault, Server.Inject, Server.ExpireTokens
// and Server.Restart, or the same over a Unix socket (Config.Control, Control).
// Faults sit in front of the routes and are off unless asked for.
//
// Usage:
//
//	s, err := endpoint.New(endpoint.Config{Listen: "127.0.0.1:0"})
//	go s.Serve(ctx)
//	client, err := api.UserSessionTokenProxy(s.URL(), "rocketskates", "r0cketsk8ts", true, false)
package endpoint
