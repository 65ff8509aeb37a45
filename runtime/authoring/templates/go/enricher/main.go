// The pack's enricher. `go test .` runs it natively; `yagura build ..` makes a component of it.
package main

import (
	"github.com/yagura/yagura/sdk/go/enricher"
	"github.com/yagura/yagura/sdk/go/http"
	"github.com/yagura/yagura/sdk/go/plugin"
)

// owner asks an inventory who owns the hosts of an alert.
type owner struct {
	Inventory string `json:"inventory"`
}

func init() {
	enricher.Serve(open)
}

// open reads `[plugin.config]`: a wrong key or type is an error before the first alert, and needs no check here.
func open(config *plugin.Config) (enricher.Enricher, error) {
	settings := new(owner)
	config.Decode(settings)
	return settings, nil
}

// Enrich is called again after each delay that the operator chose: logs arrive late.
func (o *owner) Enrich(alert *plugin.Alert, enriched *enricher.Enriched) error {
	for _, host := range alert.ObservablesOf(plugin.Host) {
		// Encode keeps what an attacker named a host from being more than a name.
		response, err := http.Get(o.Inventory+"/hosts/"+http.Encode(host)).
			Header("Authorization", "Bearer "+http.Secret("inventory")).
			Send()
		if err != nil {
			return err
		}
		if response.Status == 404 {
			continue
		}
		var asset struct {
			Owner string `json:"owner"`
		}
		if err := response.JSON(&asset); err != nil {
			return err
		}
		enriched.Attribute("owner of "+host, asset.Owner, "inventory")
	}
	return nil
}

func main() {}
