package lab

import (
	"encoding/json"
	"fmt"
	"io/fs"

	"gitlab.com/rackn/provision/v4/api"
	"gitlab.com/rackn/provision/v4/models"
	"gitlab.com/rackn/provision/v4/store"
)

// Bundle returns the content pack in a directory as DRP takes it, in JSON: what
// `drpcli contents bundle` makes of it, by DRP's own code. version is a semantic one.
// The error names the object that DRP would refuse.
func Bundle(dir fs.FS, version string) ([]byte, error) {
	packed := &store.Memory{}
	if err := packed.Open(nil); err != nil {
		return nil, err
	}
	if err := api.BundleContent(dir, packed, map[string]string{"Version": version}); err != nil {
		return nil, fmt.Errorf("content pack: %w", err)
	}
	content := &models.Content{}
	if err := content.FromStore(packed); err != nil {
		return nil, fmt.Errorf("content pack: %w", err)
	}
	return json.MarshalIndent(content, "", "  ")
}
