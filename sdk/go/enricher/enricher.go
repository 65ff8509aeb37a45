// Package enricher is for plugins that add facts to alerts: one interface, one function.
//
//	package main
//
//	import (
//		"github.com/yagura/yagura/sdk/go/enricher"
//		"github.com/yagura/yagura/sdk/go/lookup"
//		"github.com/yagura/yagura/sdk/go/plugin"
//	)
//
//	type assets struct{}
//
//	func init() {
//		enricher.Serve(func(*plugin.Config) (enricher.Enricher, error) { return assets{}, nil })
//	}
//
//	func (assets) Enrich(alert *plugin.Alert, enriched *enricher.Enriched) error {
//		for _, host := range alert.ObservablesOf(plugin.Host) {
//			var asset struct{ Owner string }
//			found, err := lookup.GetJSON("assets", host, &asset)
//			if err != nil {
//				return err
//			}
//			if found {
//				enriched.Attribute("owner", asset.Owner, "assets")
//			}
//		}
//		return nil
//	}
//
//	func main() {}
//
// An enricher may import packages http, search and lookup. Package yaguratest runs it natively, in unit tests.
package enricher

import (
	"github.com/yagura/yagura/sdk/go/internal/abi"
	"github.com/yagura/yagura/sdk/go/internal/author"
	"github.com/yagura/yagura/sdk/go/internal/enrichment"
	"github.com/yagura/yagura/sdk/go/plugin"
)

// Enricher adds facts to alerts.
type Enricher interface {
	// Enrich is called for one alert, and again after each delay that the operator chose, because logs arrive late: what
	// it finds takes the place of what it found before.
	//
	// A [plugin.RetryError] asks to be called again later, and so do most errors of package http. Any other error, and a
	// panic, is reported as a [plugin.DataError]: the alert stays without these facts.
	Enrich(alert *plugin.Alert, enriched *Enriched) error
}

// Serve names the component's enricher; call it once, from an init function. `open` is called when the component is opened,
// before the first alert; it need not check the configuration's lookups. An error of it or a panic is a
// [plugin.ConfigError] unless it is one of the others.
func Serve(open func(config *plugin.Config) (Enricher, error)) {
	opener.Add(open)
}

// Enriched collects what an enricher found.
type Enriched struct {
	Attributes  []plugin.Attribute
	Observables []plugin.Observable
}

// Attribute adds a fact; one without a value is left out. `source` is where it comes from, for a human.
func (e *Enriched) Attribute(name, value, source string) *Enriched {
	if value != "" {
		e.Attributes = append(e.Attributes, plugin.Attribute{Name: name, Value: value, Source: source})
	}
	return e
}

// Observable adds a value that came up and is worth searching for; an empty one is left out.
func (e *Enriched) Observable(kind plugin.Kind, value string) *Enriched {
	if value != "" {
		e.Observables = append(e.Observables, plugin.Observable{Kind: kind, Value: value})
	}
	return e
}

var opener author.Opener[Enricher]

func init() {
	enrichment.New = func() enrichment.Plugin { return new(component) }
}

// component serves the contract.
type component struct{ opened Enricher }

func (c *component) Open(config string) (failure *abi.Error) {
	c.opened, failure = opener.Open("enricher", config)
	return failure
}

func (c *component) Enrich(alert *plugin.Alert) (enrichment.Enriched, *abi.Error) {
	if c.opened == nil {
		return enrichment.Enriched{}, author.NotOpen("enricher")
	}
	var enriched Enriched
	failure := author.Call(abi.Data, func() error { return c.opened.Enrich(alert, &enriched) })
	return enrichment.Enriched(enriched), failure
}
