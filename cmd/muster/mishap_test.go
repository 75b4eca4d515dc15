package main

import (
	"encoding/json"
	"net/url"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"

	"muster/endpoint"
)

// cmdLose deletes profile alpha, which the machines carry no more then; cmdFind
// puts it back as it was.
func cmdLose(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) > 0 && s.lost == nil, "lose KEY..., of all machines that carry the profile")
	for _, key := range args {
		s.admin(ts, "PATCH", "machines/"+ts.Getenv(key), []map[string]any{{"op": "replace", "path": "/Profiles", "value": []string{}}})
	}
	s.lost = s.admin(ts, "DELETE", "profiles/alpha", nil)
}

func cmdFind(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) > 0 && s.lost != nil, "find KEY..., of what was lost")
	s.admin(ts, "POST", "profiles", json.RawMessage(s.lost))
	s.lost = nil
	for _, key := range args {
		s.admin(ts, "PATCH", "machines/"+ts.Getenv(key), []map[string]any{{"op": "replace", "path": "/Profiles", "value": []string{"alpha"}}})
	}
}

// cmdSpoil sets a param of the profile by hand; cmdUnspoil puts back what it was.
func cmdSpoil(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) == 2, "spoil NAME JSON")
	path := "profiles/alpha/params/" + url.PathEscape(args[0])
	s.spoiled = s.admin(ts, "GET", path, nil)
	s.admin(ts, "POST", path, json.RawMessage(args[1]))
}

func cmdUnspoil(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) == 1 && s.spoiled != nil, "unspoil NAME")
	s.admin(ts, "POST", "profiles/alpha/params/"+url.PathEscape(args[0]), json.RawMessage(s.spoiled))
}

// cmdRefuse has the endpoint refuse changes of machines, until mend.
func cmdRefuse(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) == 1, "refuse STATUS")
	status, err := strconv.Atoi(args[0])
	ts.Check(err)
	_, err = s.server.Inject(endpoint.Fault{Kind: endpoint.FaultRefuse, Status: status, Method: "PATCH", Path: "/machines/*"})
	ts.Check(err)
}

// cmdHang has the endpoint answer the host KEY by half, and then hang, until mend.
func cmdHang(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) == 1, "hang KEY")
	_, err := s.server.Inject(endpoint.Fault{Kind: endpoint.FaultStall, Principal: "machine:" + ts.Getenv(args[0])})
	ts.Check(err)
}
