package endpoint

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab.com/rackn/provision/v4/models"
)

// slowMachine is a machine whose inherited params take long to find.
type slowMachine struct {
	*models.Machine
	asked func()
}

func (m slowMachine) GetProfiles() []string {
	m.asked()
	return m.Machine.GetProfiles()
}

func TestWritesDoNotWaitForListsThatTakeLong(t *testing.T) {
	s, _ := workServer(t, "")
	m := newMachineNamed("aa")
	s.putAll(t, m)
	asked, goOn := make(chan struct{}), make(chan struct{})
	s.store.mu.Lock()
	slow := *s.store.objects["machines"][m.Key()]
	slow.head = slowMachine{slow.head.(*models.Machine), sync.OnceFunc(func() { close(asked); <-goOn })}
	s.store.objects["machines"][m.Key()] = &slow
	s.store.mu.Unlock()
	token := userToken(t, s)
	ask := func(method, path, body string) <-chan int {
		status := make(chan int, 1)
		go func() { status <- s.call(t, token, method, path, body).StatusCode }()
		return status
	}

	list := ask("GET", "/machines?aggregate=true&Params.x=Ne(1)", "")
	<-asked
	write := ask("POST", "/profiles", `{"Name":"meanwhile"}`)
	select {
	case got := <-write:
		if got != http.StatusCreated {
			t.Errorf("the write got %d", got)
		}
	case <-time.After(20 * time.Second):
		t.Error("a write waits for a list")
		defer func() { <-write }()
	}
	close(goOn)
	if got := <-list; got != http.StatusOK {
		t.Errorf("the list got %d", got)
	}
}

func TestOptionsOfAListAreBounded(t *testing.T) {
	s, _ := workServer(t, "")
	for query, want := range map[string]int{
		strings.Repeat("Name=Re(a)&", maxOptions):                       200,
		strings.Repeat("Name=Re(a)&", maxOptions) + "Key=a":             406,
		strings.Repeat("sort=Name&", maxOptions+1):                      406,
		"params=" + strings.TrimSuffix(strings.Repeat("a,", 1000), ","): 200,
	} {
		if got, body := s.ask(t, "GET", "/machines?"+strings.TrimSuffix(query, "&"), ""); got != want {
			t.Errorf("%.40s... got %d %s, want %d", query, got, body, want)
		}
	}
}
