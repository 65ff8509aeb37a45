// A reviewer: an attack on Windows does no harm to a Mac.
package main

import (
	"fmt"
	"slices"

	"github.com/yagura/yagura/sdk/go/lookup"
	"github.com/yagura/yagura/sdk/go/plugin"
	"github.com/yagura/yagura/sdk/go/reviewer"
)

// platform evaluates alerts of rules with a tag by what their hosts run.
type platform struct {
	Tag   string `json:"tag"`
	Harms string `json:"harms"`
}

func init() {
	reviewer.Serve(func(config *plugin.Config) (reviewer.Reviewer, error) {
		settings := &platform{Tag: "platform.windows", Harms: "windows"}
		config.Decode(settings)
		return settings, nil
	})
}

func (p *platform) Review(alert *plugin.Alert, attributes plugin.Attributes) (*plugin.Assessment, error) {
	if !slices.Contains(alert.Tags, p.Tag) {
		return nil, nil
	}
	if verdict, _ := attributes.Value("reputation"); verdict == "malicious" {
		return &plugin.Assessment{Severity: plugin.High, Verdict: plugin.Malicious, Reason: "a known attacker"}, nil
	}
	for _, host := range alert.ObservablesOf(plugin.Host) {
		var known struct {
			Platform string `json:"platform"`
		}
		found, err := lookup.GetJSON("platforms", host, &known)
		if err != nil {
			return nil, err
		}
		if !found || known.Platform == p.Harms {
			// Nothing is known that would make it lighter.
			return nil, nil
		}
		return &plugin.Assessment{
			Severity: plugin.Low, Verdict: plugin.Benign,
			Reason: fmt.Sprintf("it harms %s, and %s runs %s", p.Harms, host, known.Platform),
		}, nil
	}
	return &plugin.Assessment{Verdict: plugin.Undecided, Reason: "the alert names no host"}, nil
}

func main() {}
