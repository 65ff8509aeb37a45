// A notifier: posts reports as JSON to a server of the operator's.
package main

import (
	"github.com/yagura/yagura/sdk/go/http"
	"github.com/yagura/yagura/sdk/go/notifier"
	"github.com/yagura/yagura/sdk/go/plugin"
)

// webhook posts to a URL.
type webhook struct {
	URL string `json:"url"`
	// IsSigned says that the server wants to know who sent a report.
	IsSigned bool `json:"signed"`
}

func init() {
	notifier.Serve(open)
}

func open(config *plugin.Config) (notifier.Notifier, error) {
	hook := new(webhook)
	config.Decode(hook)
	if hook.URL == "" {
		config.Fail("`plugin.config.url` is missing: give it the URL to post reports to")
	}
	return hook, nil
}

func (w *webhook) Notify(report *plugin.Report) (receipt string, err error) {
	// A server that knows such keys takes a report once, however often it is sent.
	request := http.Post(w.URL).JSON(report).Header("Idempotency-Key", report.RevisionID())
	if w.IsSigned {
		request.Sign(http.Signature{Header: "X-Yagura-Signature", Secret: "webhook", Prefix: "sha256="})
	}
	response, err := request.Send()
	if err != nil {
		return "", err
	}
	return report.ID, response.Success()
}

func main() {}
