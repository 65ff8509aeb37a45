// The pack's notifier. `go test .` runs it natively; `yagura build ..` makes a component of it.
package main

import (
	"github.com/yagura/yagura/sdk/go/http"
	"github.com/yagura/yagura/sdk/go/notifier"
	"github.com/yagura/yagura/sdk/go/plugin"
)

// webhook posts reports as JSON.
type webhook struct {
	URL string `json:"url"`
}

func init() {
	notifier.Serve(open)
}

// open reads `[plugin.config]`: a wrong key or type is an error before the first report, and needs no check here.
func open(config *plugin.Config) (notifier.Notifier, error) {
	settings := new(webhook)
	config.Decode(settings)
	return settings, nil
}

// Notify returns a receipt, whatever finds the message again; the next report of the incident brings it in report.Earlier,
// so that a service whose messages can be changed gets no second one.
func (w *webhook) Notify(report *plugin.Report) (receipt string, err error) {
	response, err := http.Post(w.URL).
		JSON(report).
		Header("Idempotency-Key", report.RevisionID()).
		Sign(http.Signature{Header: "X-Yagura-Signature", Secret: "webhook", Prefix: "sha256="}).
		Send()
	if err != nil {
		return "", err
	}
	// 429 and 500 ask to be called again later, other statuses say that the report will never go.
	return report.ID, response.Success()
}

func main() {}
