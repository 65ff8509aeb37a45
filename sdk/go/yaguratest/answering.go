package yaguratest

import (
	"github.com/yagura/yagura/sdk/go/enricher"
	"github.com/yagura/yagura/sdk/go/internal/abi"
	"github.com/yagura/yagura/sdk/go/internal/author"
	"github.com/yagura/yagura/sdk/go/internal/enrichment"
	"github.com/yagura/yagura/sdk/go/internal/notifying"
	"github.com/yagura/yagura/sdk/go/internal/reviewing"
	"github.com/yagura/yagura/sdk/go/plugin"
)

// Enrich opens the package's enricher with a configuration, JSON text or empty, and returns its facts about an alert.
// [NewServer], [NewTables] and [NewLookups] stand for the host. The error is a [plugin.ConfigError],
// [plugin.DataError] or [plugin.RetryError], here and below.
func Enrich(config string, alert *plugin.Alert) (*enricher.Enriched, error) {
	opened := enrichment.New()
	if failure := opened.Open(orNothing(config)); failure != nil {
		return nil, author.FromContract(failure)
	}
	enriched, failure := opened.Enrich(alert)
	if failure != nil {
		return nil, author.FromContract(failure)
	}
	found := enricher.Enriched(enriched)
	return &found, nil
}

// Review opens the package's reviewer with a configuration, JSON text or empty, and returns its assessment of an alert; nil
// if it has none.
func Review(config string, alert *plugin.Alert, attributes ...plugin.Attribute) (*plugin.Assessment, error) {
	opened := reviewing.New()
	if failure := opened.Open(orNothing(config)); failure != nil {
		return nil, author.FromContract(failure)
	}
	assessment, failure := opened.Review(alert, attributes)
	return assessment, orNil(failure)
}

// Notify opens the package's notifier with a configuration, JSON text or empty, passes a report to it, and returns the
// receipt.
func Notify(config string, report *plugin.Report) (receipt string, err error) {
	opened := notifying.New()
	if failure := opened.Open(orNothing(config)); failure != nil {
		return "", author.FromContract(failure)
	}
	receipt, failure := opened.Notify(report)
	return receipt, orNil(failure)
}

// NewAlert returns a final alert of severity medium, with a value in every field that is not a list. A test changes the
// fields that it needs.
func NewAlert() *plugin.Alert {
	const time = 1_772_000_000_000_000
	return &plugin.Alert{
		State: plugin.Final, ID: "a1", Rule: "test-rule", Title: "Test alert", Severity: plugin.Medium, Key: "test",
		WindowStart: time, FirstTime: time, LastTime: time + 60_000_000, Count: 1,
	}
}

// NewReport returns the first report of an incident with one alert, [NewAlert]. A test changes the fields that it needs.
func NewReport() *plugin.Report {
	alert := NewAlert()
	return &plugin.Report{
		ID: "i1", Revision: 1, Title: alert.Title, Severity: alert.Severity, Text: "Test alert\nkey: test",
		Time: alert.LastTime + 1_000_000, Alerts: []plugin.Alert{*alert}, AlertCount: 1,
	}
}

func orNil(failure *abi.Error) error {
	if failure == nil {
		return nil
	}
	return author.FromContract(failure)
}
