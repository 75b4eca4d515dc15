package drp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/profile"
	"muster/profile/drp"
)

func TestFilterWordsBecomeAQuery(t *testing.T) {
	const cluster = "my cluster-1"
	for words, want := range map[string]url.Values{
		"Profiles Eq $CLUSTER_PROFILE":              {"Profiles": {"Eq(my cluster-1)"}},
		"Profiles=${CLUSTER_PROFILE}":               {"Profiles": {cluster}},
		"  Profiles  Eq\t$CLUSTER_PROFILE\n":        {"Profiles": {"Eq(my cluster-1)"}},
		"cluster/manager Eq false Name Re ^(a|b)=c": {"cluster/manager": {"Eq(false)"}, "Name": {"Re(^(a|b)=c)"}},
		"Name=a Name=b Pool In x,y":                 {"Name": {"a", "b"}, "Pool": {"In(x,y)"}},
		"aggregate=true Name Eq größe":              {"aggregate": {"true"}, "Name": {"Eq(größe)"}},
	} {
		got, err := drp.Filter(words, cluster)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("Filter(%q) (-want +got), error %v:\n%s", words, err, diff)
		}
	}
	for _, words := range []string{
		"", "  ", "Profiles", "Profiles Eq", "Profiles Equals x", "Profiles Eq $HOME", "Profiles Eq $CLUSTER_PROFILES",
		"Profiles Eq ${CLUSTER_PROFILE", "Profiles Eq $(id)", "Profiles Eq $$CLUSTER_PROFILE", "Name Eq f(x)", "Name Ne a,b", "=x",
		"limit=1 Name=a", "params=Name Name=a", "slim=Params Name=a",
	} {
		if got, err := drp.Filter(words, cluster); !errors.Is(err, profile.ErrInvalid) || got != nil {
			t.Errorf("Filter(%q) = %v, %v, want %v", words, got, err, profile.ErrInvalid)
		}
	}
}

func TestMachinesAreDecodedWithAndWithoutWorkflowComplete(t *testing.T) {
	const common = `"Uuid":"` + machineUUID + `","Name":"n 1","Address":"10.0.0.1","Profiles":["c1"],"Workflow":"w"`
	want := profile.Machine{UUID: machineUUID, Name: "n 1", Address: "10.0.0.1", Profiles: []string{"c1"}, Workflow: "w", Version: `"5"`}
	const job = "11111111-2222-3333-4444-555555555555"
	for name, test := range map[string]struct {
		json string
		want func(*profile.Machine)
	}{
		"complete": {`"WorkflowComplete":true,"Runnable":true,"Tasks":["t1"],"CurrentTask":1`,
			func(m *profile.Machine) { m.Complete, m.Runnable, m.Task = true, true, 1 }},
		"tasks done but not said complete": {`"WorkflowComplete":false,"Runnable":true,"Tasks":["t1"],"CurrentTask":1`,
			func(m *profile.Machine) { m.Runnable, m.Task = true, 1 }},
		"old, tasks done": {`"Runnable":true,"Tasks":["t1","t2"],"CurrentTask":2`,
			func(m *profile.Machine) { m.Complete, m.Runnable, m.Task = true, true, 2 }},
		"old, last task":     {`"Runnable":true,"Tasks":["t1","t2"],"CurrentTask":1`, func(m *profile.Machine) { m.Runnable, m.Task = true, 1 }},
		"old, before tasks":  {`"Runnable":true,"Tasks":["t1"],"CurrentTask":-1`, func(m *profile.Machine) { m.Runnable, m.Task = true, -1 }},
		"old, without tasks": {`"Runnable":true,"Tasks":[],"CurrentTask":0`, func(m *profile.Machine) { m.Runnable = true }},
		"failed": {`"WorkflowComplete":false,"Runnable":false,"CurrentJob":"` + job + `","JobState":"failed"`,
			func(m *profile.Machine) { m.Job, m.JobState = job, "failed" }},
		"failed, state only in the job": {`"Runnable":false,"CurrentJob":"` + job + `"`,
			func(m *profile.Machine) { m.Job, m.JobState = job, "failed" }},
		"job that cannot be read": {`"Runnable":false,"CurrentJob":"` + machineUUID + `"`, func(m *profile.Machine) { m.Job = machineUUID }},
		"no job":                  {`"CurrentJob":"00000000-0000-0000-0000-000000000000"`, func(*profile.Machine) {}},
		"no address yet":          {`"Address":"0.0.0.0"`, func(m *profile.Machine) { m.Address = "" }},
		"leader":                  {`"Params":{"cluster/leader":true}`, func(m *profile.Machine) { m.Leader = true }},
		"manager":                 {`"Params":{"cluster/manager":true}`, func(m *profile.Machine) { m.Manager = true }},
	} {
		t.Run(name, func(t *testing.T) {
			s := listen(t, true, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				switch {
				case strings.HasSuffix(r.URL.Path, "/jobs/"+job):
					_, _ = io.WriteString(w, `{"Uuid":"`+job+`","State":"failed"}`)
				case strings.Contains(r.URL.Path, "/jobs/"):
					w.WriteHeader(http.StatusNotFound)
				default:
					w.Header().Set("ETag", `"5"`)
					_, _ = io.WriteString(w, `{`+common+`,`+test.json+`}`)
				}
			})
			want := want
			test.want(&want)
			got, err := s.client(t).Machine(machineUUID, nil).Read(t.Context())
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("machine (-want +got), error %v:\n%s", err, diff)
			}
		})
	}
}

func TestWhatIsNoMachineIsNotTaken(t *testing.T) {
	for _, body := range []string{`{}`, `[]`, `{"Name":"n1"}`, `{"Uuid":"no uuid"}`, `{"Uuid":`, `null`} {
		s := listen(t, true, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, body)
		})
		if m, err := s.client(t).Machine(machineUUID, nil).Read(t.Context()); !errors.Is(err, profile.ErrUnavailable) {
			t.Errorf("%s: %+v, %v, want %v", body, m, err, profile.ErrUnavailable)
		}
	}
}

func TestAMachineReadsAndFollowsItselfByItsOwnToken(t *testing.T) {
	for _, compat := range []string{"", "3.13"} {
		t.Run("compat "+compat, func(t *testing.T) {
			r := serve(t, compat)
			r.post("machines", map[string]any{"Name": "n 1", "Uuid": machineUUID, "Address": "10.0.0.1"})
			token, err := r.MachineToken(machineUUID, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			m := r.client(t).Machine(machineUUID, drp.Token(token))
			got, err := m.Read(t.Context())
			if err != nil || got.UUID != machineUUID || got.Name != "n 1" || got.Address != "10.0.0.1" {
				t.Fatalf("Read = %+v, %v", got, err)
			}
			if has := got.Version != ""; has != (compat == "") {
				t.Errorf("version %q with compat %q", got.Version, compat)
			}
			version, err := m.Changed(t.Context(), "", time.Hour)
			if version != got.Version || err != nil {
				t.Errorf("Changed = %q, %v, want %q", version, err, got.Version)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			other := r.client(t).Machine("11111111-2222-3333-4444-555555555555", drp.Token(token))
			if _, err := other.Read(ctx); !errors.Is(err, profile.ErrNotFound) {
				t.Errorf("another machine: %v, want %v", err, profile.ErrNotFound)
			}
		})
	}
}

func TestMachinesAreListedByFilterWithTheManagerMarked(t *testing.T) {
	for _, compat := range []string{"", "3.13"} {
		t.Run("compat "+compat, func(t *testing.T) {
			r := serve(t, compat)
			r.profile("my cluster", nil)
			r.post("machines", map[string]any{"Name": "manager", "Profiles": []string{"my cluster"}, "Params": map[string]any{"cluster/manager": true}})
			r.post("machines", map[string]any{"Name": "member", "Profiles": []string{"my cluster"}})
			r.post("machines", map[string]any{"Name": "stranger"})
			query, err := drp.Filter("Profiles Eq $CLUSTER_PROFILE", "my cluster")
			if err != nil {
				t.Fatal(err)
			}
			found, err := r.admin.Machines(t.Context(), query, r.auth)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]bool{}
			for _, m := range found {
				got[m.Name] = m.Manager
			}
			if diff := cmp.Diff(map[string]bool{"manager": true, "member": false}, got); diff != "" {
				t.Errorf("machines and whether they manage (-want +got):\n%s", diff)
			}
		})
	}
}

func TestANewTokenIsTriedBeforeItIsHandedOut(t *testing.T) {
	for name, row := range map[string]struct {
		status     int
		kind, body string
		taken      bool // the new token
		want       error
	}{
		"made":                   {200, "application/json", `{"Token":"new"}`, true, nil},
		"made, but not good":     {200, "application/json", `{"Token":"new"}`, false, profile.ErrRefused},
		"no token":               {200, "application/json", `{}`, true, profile.ErrRefused},
		"not offered":            {404, "application/json", `{}`, true, profile.ErrNotFound},
		"not even a page":        {404, "text/plain", "404 page not found", true, profile.ErrNotFound},
		"the endpoint is broken": {502, "text/html", "<html>", true, profile.ErrUnavailable},
	} {
		s := listen(t, true, func(w http.ResponseWriter, r *http.Request) {
			kind, status, body := "application/json", http.StatusOK, `{"Uuid":"`+machineUUID+`"}`
			switch {
			case strings.HasSuffix(r.URL.Path, "/token"):
				kind, status, body = row.kind, row.status, row.body
				if r.URL.RawQuery != "ttl=3600" {
					t.Errorf("asked with %q", r.URL.RawQuery)
				}
			case !row.taken || r.Header.Get("Authorization") != "Bearer new":
				status = http.StatusForbidden
			}
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
		token, err := s.client(t).Machine(machineUUID, drp.Token("old")).NewToken(t.Context(), time.Hour)
		if !errors.Is(err, row.want) || (token == "new") != (row.want == nil) {
			t.Errorf("%s: got %q and %v, want error %v", name, token, err, row.want)
		}
	}
}
