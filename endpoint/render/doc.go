// Package render is the language of task templates: what DRP documents as the dot
// of a template and its methods, on top of text/template.
//
// Actions renders a task for a machine, One a single template. All that they know
// of the machine comes from a Source; nothing here knows of the endpoint's store,
// its locks or its HTTP.
//
// What it guarantees: templates are programs, but rendering ends. The templates of
// one task share a bound on their time, on what they write, on how deep they call one
// another (limits.go) and on all that functions and params make, whether it is kept or
// not (budget.go): a call is paid for before it is made. What breaks a bound, or is not
// part of the language, is an error that names the template, upon which a runner fails
// the job.
//
// The functions are those of text/template and, of the library that DRP uses, those of
// strings, numbers, lists, maps, dates, versions, encodings, checksums, regular
// expressions and flow (functions.go has the list). Those that make keys, certificates
// or password hashes, encrypt, or ask for addresses are missing. A width or precision
// of printf is at most 1000, and is no argument; a regular expression has at most 1000
// instructions and matches no text that is too long for its size (package pattern).
//
// What it does not do: package repositories (Repos, MachineRepos, InstallRepos) are
// not part of the language, because nothing boots or is installed here. It looks no
// param up by itself and makes no token: see Source.
//
//	actions, err := render.Actions(src, task, "linux")
package render
