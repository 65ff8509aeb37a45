// Package normalizing is the contract's interface of the same name: what the host asks of a normalizer, in Go types, and the
// exports by which it asks.
package normalizing

import (
	"encoding/binary"

	"github.com/yagura/yagura/sdk/go/internal/abi"
)

// Plugin is what serves the interface.
type Plugin interface {
	Open(config string) *abi.Error
	// Normalize gets records laid out like a column of bytes.
	Normalize(records *abi.Column) (*Normalized, *abi.Error)
}

// Normalized is the contract's `normalized`, as it is collected record by record.
type Normalized struct {
	// Records has where the events of each record end among all events.
	Records []uint32
	// Ends has where each event ends in Text.
	Ends []uint32
	// Text is the events, JSON objects, one after another.
	Text []byte
	// Malformed are the records that are malformed, in their order.
	Malformed []Malformed
}

// Malformed is a record that is malformed.
type Malformed struct {
	Index  uint32
	Reason string
}

// New returns a plugin with nothing open. Package normalizer, which has the plugin, sets it; the exports and the test helpers
// call it.
var New func() Plugin

const (
	// answerSize is the size of a `result<normalized, plugin-error>`.
	answerSize = abi.ResultValue + 40
	// malformedSize is the size of a `tuple<u32, string>`.
	malformedSize = 12
)

// answerNormalized lowers a `result<normalized, plugin-error>`.
func answerNormalized(normalized *Normalized, failure *abi.Error) *abi.Answer {
	answer := abi.NewResult(answerSize, failure)
	if failure != nil {
		return answer
	}
	// `validity`, between them, is empty.
	const records, offsets, values, malformed = 0, 16, 24, 32
	putEnds(answer, abi.ResultValue+records, normalized.Records)
	putEnds(answer, abi.ResultValue+offsets, normalized.Ends)
	answer.PutBytes(abi.ResultValue+values, normalized.Text)
	start := answer.PutList(abi.ResultValue+malformed, len(normalized.Malformed), malformedSize, 4)
	for index, of := range normalized.Malformed {
		at := start + malformedSize*index
		answer.PutUint32(at, of.Index)
		answer.PutText(at+4, of.Reason)
	}
	return answer
}

// putEnds writes a `list<u8>` of a zero and these integers of four bytes.
func putEnds(answer *abi.Answer, at int, ends []uint32) {
	start := answer.PutList(at, 4+4*len(ends), 1, 1)
	for index, end := range ends {
		answer.PutUint32(start+4+4*index, end)
	}
}

// Each calls `visit` with each record of a column, as long as the column's offsets lie in its values; it says whether all do.
func Each(records *abi.Column, visit func(record []byte)) bool {
	offsets := records.Offsets
	for ; len(offsets) >= 8; offsets = offsets[4:] {
		start, end := binary.LittleEndian.Uint32(offsets), binary.LittleEndian.Uint32(offsets[4:])
		if start > end || uint64(end) > uint64(len(records.Values)) {
			return false
		}
		visit(records.Values[start:end:end])
	}
	return true
}
