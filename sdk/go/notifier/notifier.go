// Package notifier is for plugins that send reports of incidents: one interface, one function.
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

// Notifier sends reports of incidents, and updates them.
type Notifier interface {
	// Notify sends a report, or updates the message with its id, and returns a receipt: a text by which the plugin finds the
	// message again. The next report with this id has it as [plugin.Report].Earlier.
	//
	// After a [plugin.RetryError], and after most errors of package http, the host calls again later with the same report.
	// Any other error, and a panic, means that the report can never be sent: it becomes a dead letter.
	Notify(report *plugin.Report) (receipt string, err error)
}

// Serve registers the component's notifier; call it once, from an init function. `open` runs once, before the first report. It
// need not check errors of [plugin.Config]. Its error or panic is a [plugin.ConfigError], unless the error has another of the
// package's types.
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
