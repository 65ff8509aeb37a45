// Package enrichment is the contract's interface of the same name: what the host asks of an enricher, in Go types, and the
// exports by which it asks.
package enrichment

import (
	"github.com/yagura/yagura/sdk/go/internal/abi"
	"github.com/yagura/yagura/sdk/go/internal/alerts"
	"github.com/yagura/yagura/sdk/go/plugin"
)

// Plugin is what serves the interface.
type Plugin interface {
	Open(config string) *abi.Error
	Enrich(alert *plugin.Alert) (Enriched, *abi.Error)
}

// Enriched is the contract's `enriched`.
type Enriched struct {
	Attributes  []plugin.Attribute
	Observables []plugin.Observable
}

// New returns a plugin with nothing open. Package enricher, which has the plugin, sets it; the exports and the test helpers
// call it.
var New func() Plugin

// answerSize is the size of a `result<enriched, plugin-error>`.
const answerSize = abi.ResultValue + 16

// answerEnriched lowers a `result<enriched, plugin-error>`.
func answerEnriched(enriched Enriched, failure *abi.Error) *abi.Answer {
	answer := abi.NewResult(answerSize, failure)
	if failure == nil {
		alerts.PutAttributes(answer, abi.ResultValue, enriched.Attributes)
		alerts.PutObservables(answer, abi.ResultValue+8, enriched.Observables)
	}
	return answer
}
