// Package archtest holds no code but tests: they keep the packages of this module in the order that ARCHITECTURE.md
// promises. Each forbidden import is refused with the reason for it. Test files may import what they like; imports
// are those of the files built on the system that runs the tests.
//
// A new package is added to the table in rules_test.go together with what it may import.
package archtest
