// Package render is the language of task templates: what DRP documents as the dot
// of a template and its methods, on top of text/template.
//
// Actions renders a task for a machine, One a single template. All that they know
// of the machine comes from a Source; nothing here knows of the endpoint's store,
// its locks or its HTTP.
//
// What it guarantees: templates are programs, but rendering ends. The templates of
// one task share a bound on their time, on what they write, on how deep they call
// one another and on the size of what a function makes (limits.go). What breaks a
// bound, or is not part of the language, is an error that names the template, upon
// which a runner fails the job.
//
// What it does not do: package repositories (Repos, MachineRepos, InstallRepos) are
// not part of the language, because nothing boots or is installed here. It looks no
// param up by itself and makes no token: see Source.
//
//	actions, err := render.Actions(src, task, "linux")
package render
