// Package lab runs clusters of real agents and DRP's own runners against the
// embedded endpoint, or any other, for demonstrations, measurements and tests.
package lab
