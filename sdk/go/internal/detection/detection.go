// Package detection is the contract's interface of the same name: what the host asks of a detector, in Go types, and the
// exports by which it asks.
package detection

import "github.com/yagura/yagura/sdk/go/internal/abi"

// Rule is the contract's `rule`.
type Rule struct {
	ID string
	// Config is JSON text.
	Config string
	Schema []abi.Field
}

// Finding is the contract's `finding`.
type Finding struct {
	Rows  []uint32
	Title *string
	// Severity is the contract's number and one; zero when it is absent.
	Severity    uint8
	Key         *string
	Observables [][2]string
	Context     [][2]string
}

// RuleFinding is a finding and the number of its rule.
type RuleFinding struct {
	Rule    uint32
	Finding *Finding
}

// Plugin is what serves the interface.
type Plugin interface {
	Rules() []string
	Open(config string, rules []Rule) *abi.Error
	OnBatch(rule uint32, batch *abi.Batch) ([]*Finding, *abi.Error)
	OnWatermark(time int64) ([]RuleFinding, *abi.Error)
	Snapshot() ([]byte, *abi.Error)
	Restore(state []byte) *abi.Error
}

// New returns a plugin with nothing open. Package yagura, which has the plugin, sets it; the exports and the test helpers
// call it.
var New func() Plugin
