// Package notifier is for plugins that tell people about incidents: one interface, one function.
//
//	package main
//
//	import (
//		"github.com/yagura/yagura/sdk/go/http"
//		"github.com/yagura/yagura/sdk/go/notifier"
//		"github.com/yagura/yagura/sdk/go/plugin"
//	)
//
//	type webhook struct{ URL string }
//
//	func init() {
//		notifier.Serve(func(config *plugin.Config) (notifier.Notifier, error) {
//			hook := new(webhook)
//			config.Decode(hook)
//			return hook, nil
//		})
//	}
//
//	func (w *webhook) Notify(report *plugin.Report) (receipt string, err error) {
//		response, err := http.Post(w.URL).JSON(report).Send()
//		if err != nil {
//			return "", err
//		}
//		return report.ID, response.Success()
//	}
//
//	func main() {}
//
// A notifier may import package http. Package yaguratest runs it natively, in unit tests.
package notifier

import (
	"github.com/yagura/yagura/sdk/go/internal/abi"
	"github.com/yagura/yagura/sdk/go/internal/author"
	"github.com/yagura/yagura/sdk/go/internal/notifying"
	"github.com/yagura/yagura/sdk/go/plugin"
)

// Notifier tells people about incidents.
type Notifier interface {
	// Notify sends a report, or updates what was sent under its id before, and returns the receipt: whatever finds the
	// message again. It comes back with the next report under the id, as [plugin.Report].Earlier.
	//
	// A [plugin.RetryError] asks to be called again later with the same report, and so do most errors of package http. Any
	// other error, and a panic, says that the report will never go: it becomes a dead letter.
	Notify(report *plugin.Report) (receipt string, err error)
}

// Serve names the component's notifier; call it once, from an init function. `open` is called when the component is opened,
// before the first report; it need not check the configuration's lookups. An error of it or a panic is a
// [plugin.ConfigError] unless it is one of the others.
func Serve(open func(config *plugin.Config) (Notifier, error)) {
	opener.Add(open)
}

var opener author.Opener[Notifier]

func init() {
	notifying.New = func() notifying.Plugin { return new(component) }
}

// component serves the contract.
type component struct{ opened Notifier }

func (c *component) Open(config string) (failure *abi.Error) {
	c.opened, failure = opener.Open("notifier", config)
	return failure
}

func (c *component) Notify(report *plugin.Report) (receipt string, failure *abi.Error) {
	if c.opened == nil {
		return "", author.NotOpen("notifier")
	}
	failure = author.Call(abi.Data, func() (err error) {
		receipt, err = c.opened.Notify(report)
		return err
	})
	return receipt, failure
}
