package endpoint

import (
	"encoding/json"

	"gitlab.com/rackn/provision/v4/models"
)

// seed stores what every DRP endpoint has from the start.
func (s *Server) seed() error {
	basics, err := json.Marshal(models.Content{
		Meta: models.ContentMetaData{Name: basicStore, Version: "v4.16.9", Description: "What every endpoint has", Type: "basic"},
		Sections: models.Sections{
			"bootenvs": {
				"local":  &models.BootEnv{Name: "local"},
				"ignore": &models.BootEnv{Name: "ignore", OnlyUnknown: true},
			},
			"stages": {
				"none":  &models.Stage{Name: "none"},
				"local": &models.Stage{Name: "local", BootEnv: "local"},
			},
			"pools": {"default": &models.Pool{Id: "default"}},
			"roles": {"superuser": models.MakeRole("superuser", "*", "*", "*")},
		},
	})
	if err != nil {
		return err
	}
	pack, err := parsePack(basics)
	if err != nil {
		return err
	}
	return s.store.update("system", func(t *tx) error {
		if err := t.upload(pack, false); err != nil {
			return err
		}
		t.packing = ""
		for _, m := range []models.Model{
			&models.BootEnv{Name: "sledgehammer"},
			&models.Profile{Name: "global"},
			&models.User{Name: DefaultUser, Roles: []string{"superuser"}},
		} {
			if err := t.put(m); err != nil {
				return err
			}
		}
		_, err := s.setPassword(t, DefaultUser, DefaultPassword)
		return err
	})
}
