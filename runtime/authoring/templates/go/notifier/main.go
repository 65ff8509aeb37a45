// The pack's notifier. `go test .` runs it natively; `yagura build ..` makes a component of it.
package main

import (
	"github.com/yagura/yagura/sdk/go/http"
	"github.com/yagura/yagura/sdk/go/notifier"
	"github.com/yagura/yagura/sdk/go/plugin"
)

// webhook posts reports as JSON. The test in tests/notifier holds the body as it is sent.
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

// Notify returns a receipt: what finds the message again. The next report of the incident has it in report.Earlier, so that
// a notifier can change the message instead of sending a second one.
func (w *webhook) Notify(report *plugin.Report) (receipt string, err error) {
	response, err := http.Post(w.URL).
		JSON(map[string]any{
			"id":       report.ID,
			"revision": report.Revision,
			"severity": report.Severity,
			"text":     report.Text,
			"title":    report.Title,
		}).
		Header("Idempotency-Key", report.RevisionID()).
		Sign(http.Signature{Header: "X-Yagura-Signature", Secret: "webhook", Prefix: "sha256="}).
		Send()
	if err != nil {
		return "", err
	}
	// After 429 and 500 the host calls again later; after other statuses it gives the report up.
	return report.ID, response.Success()
}

func main() {}
