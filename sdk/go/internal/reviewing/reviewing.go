// Package reviewing is the contract's interface of the same name: what the host asks of a reviewer, in Go types, and the
// exports by which it asks.
package reviewing

import (
	"github.com/yagura/yagura/sdk/go/internal/abi"
	"github.com/yagura/yagura/sdk/go/internal/alerts"
	"github.com/yagura/yagura/sdk/go/plugin"
)

// Plugin is what serves the interface.
type Plugin interface {
	Open(config string) *abi.Error
	// Review returns nil where there is nothing to say; an assessment has a severity of its own.
	Review(alert *plugin.Alert, attributes plugin.Attributes) (*plugin.Assessment, *abi.Error)
}

// New returns a plugin with nothing open. Package reviewer, which has the plugin, sets it; the exports and the test helpers
// call it.
var New func() Plugin

const (
	// parametersSize is the size of the parameters of `review`, which are too many to be passed otherwise.
	parametersSize = alerts.AlertSize + 8
	// answerSize is the size of a `result<option<assessment>, plugin-error>`.
	answerSize = abi.ResultValue + 4 + alerts.AssessmentSize
)

// readParameters lifts the parameters of `review`.
func readParameters(memory abi.Memory, record []byte) (*plugin.Alert, plugin.Attributes) {
	alert := alerts.Read(memory, record)
	return &alert, alerts.ReadAttributes(memory, record, alerts.AlertSize)
}

// answerAssessment lowers a `result<option<assessment>, plugin-error>`.
func answerAssessment(assessment *plugin.Assessment, failure *abi.Error) *abi.Answer {
	answer := abi.NewResult(answerSize, failure)
	if failure == nil && assessment != nil {
		const at = abi.ResultValue + 4
		answer.PutByte(abi.ResultValue, 1)
		answer.PutByte(at, byte(assessment.Severity-1))
		answer.PutByte(at+1, byte(assessment.Verdict))
		answer.PutText(at+4, assessment.Reason)
	}
	return answer
}
