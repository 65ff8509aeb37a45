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
	// Enrich adds facts to one alert. The host calls it again after each delay that the operator chose, because logs arrive
	// late; the last facts replace earlier ones.
	//
	// After a [plugin.RetryError], and after most errors of package http, the host calls again later. Any other error, and a
	// panic, is reported as a [plugin.DataError]: the alert stays without these facts.
	Enrich(alert *plugin.Alert, enriched *Enriched) error
}

// Serve registers the component's enricher; call it once, from an init function. `open` runs once, before the first alert. It need
// not check errors of [plugin.Config]. Its error or panic is a [plugin.ConfigError], unless the error has another of the
// package's types.
func Serve(open func(config *plugin.Config) (Enricher, error)) {
	opener.Add(open)
}

// Enriched collects the facts of an enricher.
type Enriched struct {
	Attributes  []plugin.Attribute
	Observables []plugin.Observable
}

// Attribute adds a fact; one without a value is left out. `source` names its source, for a human.
func (e *Enriched) Attribute(name, value, source string) *Enriched {
	if value != "" {
		e.Attributes = append(e.Attributes, plugin.Attribute{Name: name, Value: value, Source: source})
	}
	return e
}

// Observable adds a further observable; an empty one is left out.
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
