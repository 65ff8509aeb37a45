// Package reviewer is for plugins that evaluate alerts by themselves and by what enrichers found: one interface, one function.
//
//	package main
//
//	import (
//		"github.com/yagura/yagura/sdk/go/plugin"
//		"github.com/yagura/yagura/sdk/go/reviewer"
//	)
//
//	type scanners struct{}
//
//	func init() {
//		reviewer.Serve(func(*plugin.Config) (reviewer.Reviewer, error) { return scanners{}, nil })
//	}
//
//	func (scanners) Review(alert *plugin.Alert, attributes plugin.Attributes) (*plugin.Assessment, error) {
//		if role, _ := attributes.Value("role"); role != "scanner" {
//			return nil, nil
//		}
//		return &plugin.Assessment{Severity: plugin.Info, Verdict: plugin.Benign, Reason: "our own scanner did it"}, nil
//	}
//
//	func main() {}
//
// A reviewer may import package lookup. Package yaguratest runs it natively, in unit tests.
package reviewer

import (
	"fmt"

	"github.com/yagura/yagura/sdk/go/internal/abi"
	"github.com/yagura/yagura/sdk/go/internal/author"
	"github.com/yagura/yagura/sdk/go/internal/reviewing"
	"github.com/yagura/yagura/sdk/go/plugin"
)

// Reviewer evaluates alerts.
type Reviewer interface {
	// Review returns what it thinks of an alert; nil where it has nothing to say about it. An assessment without severity
	// leaves the alert's own.
	//
	// Errors are as for an enricher: a [plugin.RetryError] asks to be called again later, any other, and a panic, is
	// reported as a [plugin.DataError].
	Review(alert *plugin.Alert, attributes plugin.Attributes) (*plugin.Assessment, error)
}

// Serve names the component's reviewer; call it once, from an init function. `open` is called when the component is opened,
// before the first alert; it need not check the configuration's lookups. An error of it or a panic is a
// [plugin.ConfigError] unless it is one of the others.
func Serve(open func(config *plugin.Config) (Reviewer, error)) {
	opener.Add(open)
}

var opener author.Opener[Reviewer]

func init() {
	reviewing.New = func() reviewing.Plugin { return new(component) }
}

// component serves the contract.
type component struct{ opened Reviewer }

func (c *component) Open(config string) (failure *abi.Error) {
	c.opened, failure = opener.Open("reviewer", config)
	return failure
}

func (c *component) Review(
	alert *plugin.Alert, attributes plugin.Attributes,
) (assessment *plugin.Assessment, failure *abi.Error) {
	if c.opened == nil {
		return nil, author.NotOpen("reviewer")
	}
	severity := alert.Severity
	failure = author.Call(abi.Data, func() error {
		said, err := c.opened.Review(alert, attributes)
		if err != nil || said == nil {
			return err
		}
		if said.Severity > plugin.Critical || said.Verdict > plugin.Malicious {
			return plugin.DataError(fmt.Sprintf(
				"the assessment has the severity %d and the verdict %d, which there are not", said.Severity, said.Verdict))
		}
		copied := *said
		if copied.Severity == 0 {
			copied.Severity = severity
		}
		assessment = &copied
		return nil
	})
	return assessment, failure
}
