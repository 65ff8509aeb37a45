// Package notifying is the contract's interface of the same name: what the host asks of a notifier, in Go types, and the
// exports by which it asks.
package notifying

import (
	"encoding/binary"

	"github.com/yagura/yagura/sdk/go/internal/abi"
	"github.com/yagura/yagura/sdk/go/internal/alerts"
	"github.com/yagura/yagura/sdk/go/plugin"
)

// Plugin is what serves the interface.
type Plugin interface {
	Open(config string) *abi.Error
	Notify(report *plugin.Report) (receipt string, failure *abi.Error)
}

// New returns a plugin with nothing open. Package notifier, which has the plugin, sets it; the exports and the test helpers
// call it.
var New func() Plugin

const (
	// reportSize is the size of a `report`.
	reportSize = 96
	// heldSize is the size of a `tuple<string, assessment>`.
	heldSize = 8 + alerts.AssessmentSize
)

// readReport lifts a `report`.
func readReport(memory abi.Memory, record []byte) *plugin.Report {
	report := &plugin.Report{
		ID:         memory.Text(record, 0),
		Revision:   binary.LittleEndian.Uint32(record[8:]),
		Status:     plugin.Status(record[12]),
		Title:      memory.Text(record, 16),
		Severity:   plugin.Severity(record[24] + 1),
		Text:       memory.Text(record, 28),
		Time:       alerts.Time(record, 40),
		Alerts:     alerts.ReadAll(memory, record, 48),
		AlertCount: binary.LittleEndian.Uint64(record[56:]),
		Attributes: alerts.ReadAttributes(memory, record, 64),
		Uncertain:  record[92] != 0,
	}
	for list := memory.Records(record, 72, heldSize); len(list) >= heldSize; list = list[heldSize:] {
		report.Assessments = append(report.Assessments, plugin.HeldAssessment{
			Reviewer: memory.Text(list, 0), Assessment: alerts.ReadAssessment(memory, list, 8),
		})
	}
	if record[80] != 0 {
		earlier := memory.Text(record, 84)
		report.Earlier = &earlier
	}
	return report
}

// answerReceipt lowers a `result<string, plugin-error>`.
func answerReceipt(receipt string, failure *abi.Error) *abi.Answer {
	answer := abi.NewResult(abi.ResultSize, failure)
	if failure == nil {
		answer.PutText(abi.ResultValue, receipt)
	}
	return answer
}
