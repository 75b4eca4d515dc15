package main

import (
	"testing"

	"muster/endpoint"
)

// The endpoint's default address is loopback, which its own tests hold it to.
func TestServeListensWhereTheEndpointDoesByDefault(t *testing.T) {
	serve, _, err := newEndpoint().Find([]string{"serve"})
	if err != nil {
		t.Fatal(err)
	}
	if got := serve.Flags().Lookup("listen").DefValue; got != endpoint.DefaultListen {
		t.Errorf("serve listens on %s", got)
	}
}
