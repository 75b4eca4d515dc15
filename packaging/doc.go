// Package packaging has no code: its folder holds the unit, the configuration
// and the scripts of the packages, and tests of them. ../nfpm.yaml says what
// goes where, and `make packages` makes them.
package packaging
