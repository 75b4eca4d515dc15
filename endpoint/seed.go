package endpoint

import "gitlab.com/rackn/provision/v4/models"

// seed stores what every DRP endpoint has from the start.
func (s *Server) seed() error {
	return s.store.update("system", func(t *tx) error {
		for _, m := range []models.Model{
			&models.BootEnv{Name: "local"},
			&models.BootEnv{Name: "sledgehammer"},
			&models.BootEnv{Name: "ignore", OnlyUnknown: true},
			&models.Stage{Name: "none"},
			&models.Stage{Name: "local", BootEnv: "local"},
			&models.Profile{Name: "global"},
			models.MakeRole("superuser", "*", "*", "*"),
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
