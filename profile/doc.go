// Package profile is the contract between Muster and the one document that a
// cluster shares: the params of a DRP profile.
//
// It knows the document's shape (params.go), how a change to it is guarded
// (Change), and the discipline under which members and operators write
// (Member, Operator). It does not know HTTP: a Store does the work, over the
// DRP API (profile/drp) or in memory (profile/memory), and both pass the same
// conformance suite (profile/profiletest).
//
// Guaranteed, given a Store whose Apply is atomic:
//   - every write of a Member tests the member's own seq and moves it on in
//     the same patch, so writes of one member land in the order in which they
//     were decided, a late or duplicated one never lands, and a second process
//     with the same identity is noticed (ErrTwin);
//   - a write whose answer was lost is settled by reading back, never guessed;
//   - a Change names exactly the leaves that it depends on, so writers of
//     different leaves do not conflict.
//
// Not guaranteed: that the writer is who it says it is (every holder of a
// profile token may write anything in the profile), and that a param edited by
// hand keeps its shape (a malformed one is reported with what was expected).
//
// No timestamp in the document decides anything. Type Document is immutable
// once it is handed out; Member, Operator and View are safe for concurrent use.
package profile
