package endpoint

import (
	"net"
	"net/http"

	"gitlab.com/rackn/provision/v4/models"
)

// getInterfaces answers GET /interfaces: the network interfaces of this host.
func (s *Server) getInterfaces(w http.ResponseWriter, _ *http.Request, p *principal) error {
	shown := []*models.Interface{}
	all, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range all {
		if p.can("interfaces", "list", i.Name) {
			shown = append(shown, describeInterface(i))
		}
	}
	return writeJSON(w, http.StatusOK, shown)
}

// getInterface answers GET /interfaces/{key}.
func (s *Server) getInterface(w http.ResponseWriter, r *http.Request, p *principal) error {
	name := r.PathValue("key")
	i, err := net.InterfaceByName(name)
	if err != nil || !p.can("interfaces", "get", name) {
		return &models.Error{Model: "interfaces", Key: name, Code: http.StatusNotFound, Messages: []string{"No interface"}}
	}
	return writeJSON(w, http.StatusOK, describeInterface(*i))
}

func describeInterface(i net.Interface) *models.Interface {
	res := &models.Interface{Name: i.Name, Index: i.Index}
	res.Fill()
	addrs, _ := i.Addrs() // an interface that has just gone has none
	for _, addr := range addrs {
		res.Addresses = append(res.Addresses, addr.String())
		if ip, ok := addr.(*net.IPNet); ok && res.ActiveAddress == "" && ip.IP.IsGlobalUnicast() {
			res.ActiveAddress = addr.String()
		}
	}
	return res
}
