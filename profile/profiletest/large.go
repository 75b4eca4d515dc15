package profiletest

import (
	"encoding/json"
	"fmt"
	"strings"

	"muster/profile"
)

// Large returns the params of a cluster of n members, all of which have joined
// with fact sheets as large as the seed grants, and have completed the round. It
// is for benchmarks. The UUID of member i is UUID(i).
func Large(n int) (profile.Params, error) {
	uuids := make([]string, n)
	for i := range uuids {
		uuids[i] = UUID(i)
	}
	params, err := profile.Seed{Profile: Name, Members: uuids, Leaders: 3}.Params()
	if err != nil {
		return nil, err
	}
	var budget int
	if err := json.Unmarshal(params[profile.ParamFactsBudget], &budget); err != nil {
		return nil, err
	}
	records, sheets := map[string]profile.Record{}, map[string]any{}
	hex := strings.Repeat("0123456789abcdef", 4)
	for i, uuid := range uuids {
		r := profile.EmptyRecord([]string{profile.Leader})
		r.Name, r.Address, r.State, r.Version, r.Seq = fmt.Sprintf("node-%04d", i+1), "192.0.2.1", "joined", "1.0.0", 2
		r.Instance, r.Write, r.Life, r.Hardware = hex[:32], hex[:32], hex[:32], hex
		r.Run = profile.Run{N: 1, Round: 1, RoundID: hex[:32], Workflow: "install", Job: uuid, Task: 7, State: profile.Complete, At: 1_800_000_000}
		r.Results["1"] = profile.Complete
		records[uuid] = r
		sheets[uuid] = map[string]any{"schema": 1, "agent": strings.Repeat("x", max(0, budget-30))}
	}
	for param, v := range map[string]any{profile.ParamMembers: records, profile.ParamFacts: sheets} {
		if params[param], err = json.Marshal(v); err != nil {
			return nil, err
		}
	}
	return params, nil
}

// UUID is that of member i of Large.
func UUID(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", i) }
