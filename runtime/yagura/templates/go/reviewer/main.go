// The pack's reviewer. `go test .` runs it natively; `yagura build ..` makes a component of it.
package main

import (
	"slices"

	"github.com/yagura/yagura/sdk/go/plugin"
	"github.com/yagura/yagura/sdk/go/reviewer"
)

// scanners says that what scanners of our own do is no attack.
type scanners struct {
	Scanners []string `json:"scanners"`
}

func init() {
	reviewer.Serve(open)
}

// open reads `[plugin.config]`: a wrong key or type is an error before the first alert, and needs no check here.
func open(config *plugin.Config) (reviewer.Reviewer, error) {
	settings := new(scanners)
	config.Decode(settings)
	return settings, nil
}

// Review sees the alert and what enrichers found; nil says nothing about it.
func (s *scanners) Review(alert *plugin.Alert, attributes plugin.Attributes) (*plugin.Assessment, error) {
	for _, address := range alert.ObservablesOf(plugin.IP) {
		if slices.Contains(s.Scanners, address) {
			reason := address + " is a scanner of our own"
			return &plugin.Assessment{Severity: plugin.Info, Verdict: plugin.Benign, Reason: reason}, nil
		}
	}
	return nil, nil
}

func main() {}
