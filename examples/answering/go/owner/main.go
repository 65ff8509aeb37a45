// An enricher: who owns the hosts of an alert, and which host had its addresses.
package main

import (
	"github.com/yagura/yagura/sdk/go/enricher"
	"github.com/yagura/yagura/sdk/go/http"
	"github.com/yagura/yagura/sdk/go/lookup"
	"github.com/yagura/yagura/sdk/go/plugin"
	"github.com/yagura/yagura/sdk/go/search"
)

// owner asks the inventory's server at the address that the operator configures.
type owner struct {
	Inventory string `json:"inventory"`
	// Most bounds the questions that one alert costs.
	Most int `json:"most"`
}

func init() {
	enricher.Serve(open)
}

func open(config *plugin.Config) (enricher.Enricher, error) {
	settings := &owner{Most: 5}
	config.Decode(settings)
	if settings.Inventory == "" {
		config.Fail("`plugin.config.inventory` is missing: give it the URL of the inventory")
	}
	return settings, nil
}

func (o *owner) Enrich(alert *plugin.Alert, enriched *enricher.Enriched) error {
	hosts := alert.ObservablesOf(plugin.Host)
	for _, address := range first(alert.ObservablesOf(plugin.IP), o.Most) {
		host, err := hostAt(alert, address)
		if err != nil {
			return err
		}
		if host != "" {
			enriched.Attribute("host of "+address, host, "dhcp").Observable(plugin.Host, host)
			hosts = append(hosts, host)
		}
	}
	for _, host := range first(hosts, o.Most) {
		name, source, err := o.ownerOf(host)
		if err != nil {
			return err
		}
		enriched.Attribute("owner of "+host, name, source)
	}
	return nil
}

// hostAt returns the host that had an address last before the alert; empty where nobody had it.
func hostAt(alert *plugin.Alert, address string) (string, error) {
	found, err := search.Table("dhcp").
		Observable(plugin.IP, address).
		Around(alert, search.Day, 0).
		Columns("event_time", "host").
		Find()
	if err != nil {
		return "", err
	}
	var host string
	var latest int64
	for row := range found.Rows() {
		if time, known := row.Time("event_time"); known && (host == "" || time >= latest) {
			host, latest = row.Text("host"), time
		}
	}
	return host, nil
}

// ownerOf returns who owns a host, by the table of assets, or else by the inventory; empty where neither knows.
func (o *owner) ownerOf(host string) (name, source string, err error) {
	var asset struct {
		Owner string `json:"owner"`
	}
	if found, err := lookup.GetJSON("assets", host, &asset); err != nil || found {
		return asset.Owner, "assets", err
	}
	response, err := http.Get(o.Inventory+"/hosts/"+http.Encode(host)).
		Header("Authorization", "Bearer "+http.Secret("inventory")).
		Send()
	if err != nil || response.Status == 404 {
		return "", "", err
	}
	err = response.JSON(&asset)
	return asset.Owner, "inventory", err
}

func first(values []string, most int) []string {
	return values[:min(len(values), max(most, 0))]
}

func main() {}
