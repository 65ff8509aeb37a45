// Package alerts lifts the contract's alerts, and what was said about them, from the guest's memory, and lowers it.
package alerts

import (
	"encoding/binary"

	"github.com/yagura/yagura/sdk/go/internal/abi"
	"github.com/yagura/yagura/sdk/go/plugin"
)

// The sizes in memory of the contract's records.
const (
	AlertSize      = 96
	AttributeSize  = 24
	AssessmentSize = 12
	PairSize       = 16
)

// Read lifts an `alert`.
func Read(memory abi.Memory, record []byte) plugin.Alert {
	return plugin.Alert{
		State:       plugin.AlertState(record[0]),
		ID:          memory.Text(record, 4),
		Rule:        memory.Text(record, 12),
		Title:       memory.Text(record, 20),
		Severity:    plugin.Severity(record[28] + 1),
		Key:         memory.Text(record, 32),
		WindowStart: Time(record, 40),
		FirstTime:   Time(record, 48),
		LastTime:    Time(record, 56),
		Count:       binary.LittleEndian.Uint64(record[64:]),
		Observables: ReadObservables(memory, record, 72),
		Context:     readFacts(memory, record, 80),
		Tags:        readTexts(memory, record, 88),
	}
}

// Time lifts a `timestamp`, or any other whole number of eight bytes.
func Time(record []byte, at int) int64 {
	return int64(binary.LittleEndian.Uint64(record[at:]))
}

// ReadAll lifts a `list<alert>` that stands at an offset of a record.
func ReadAll(memory abi.Memory, record []byte, at int) []plugin.Alert {
	return readList(memory, record, at, AlertSize, Read)
}

// ReadObservables lifts a `list<tuple<string, string>>` of observables.
func ReadObservables(memory abi.Memory, record []byte, at int) []plugin.Observable {
	return readList(memory, record, at, PairSize, func(memory abi.Memory, pair []byte) plugin.Observable {
		return plugin.Observable{Kind: plugin.Kind(memory.Text(pair, 0)), Value: memory.Text(pair, 8)}
	})
}

// ReadAttributes lifts a `list<attribute>`.
func ReadAttributes(memory abi.Memory, record []byte, at int) plugin.Attributes {
	return readList(memory, record, at, AttributeSize, func(memory abi.Memory, record []byte) plugin.Attribute {
		return plugin.Attribute{
			Name: memory.Text(record, 0), Value: memory.Text(record, 8), Source: memory.Text(record, 16),
		}
	})
}

// ReadAssessment lifts an `assessment` that stands at an offset of a record.
func ReadAssessment(memory abi.Memory, record []byte, at int) plugin.Assessment {
	return plugin.Assessment{
		Severity: plugin.Severity(record[at] + 1),
		Verdict:  plugin.Verdict(record[at+1]),
		Reason:   memory.Text(record, at+4),
	}
}

// PutAttributes lowers a `list<attribute>`.
func PutAttributes(answer *abi.Answer, at int, attributes []plugin.Attribute) {
	start := answer.PutList(at, len(attributes), AttributeSize, 4)
	for index, attribute := range attributes {
		record := start + AttributeSize*index
		answer.PutText(record, attribute.Name)
		answer.PutText(record+8, attribute.Value)
		answer.PutText(record+16, attribute.Source)
	}
}

// PutObservables lowers a `list<tuple<string, string>>` of observables.
func PutObservables(answer *abi.Answer, at int, observables []plugin.Observable) {
	start := answer.PutList(at, len(observables), PairSize, 4)
	for index, observable := range observables {
		answer.PutText(start+PairSize*index, string(observable.Kind))
		answer.PutText(start+PairSize*index+8, observable.Value)
	}
}

func readFacts(memory abi.Memory, record []byte, at int) []plugin.Fact {
	return readList(memory, record, at, PairSize, func(memory abi.Memory, pair []byte) plugin.Fact {
		return plugin.Fact{Name: memory.Text(pair, 0), Value: memory.Text(pair, 8)}
	})
}

func readTexts(memory abi.Memory, record []byte, at int) []string {
	return readList(memory, record, at, 8, func(memory abi.Memory, text []byte) string {
		return memory.Text(text, 0)
	})
}

// readList lifts a list of records of a size; nil for an empty one.
func readList[T any](memory abi.Memory, record []byte, at, size int, read func(abi.Memory, []byte) T) []T {
	list := memory.Records(record, at, size)
	if len(list) == 0 {
		return nil
	}
	values := make([]T, 0, len(list)/size)
	for ; len(list) >= size; list = list[size:] {
		values = append(values, read(memory, list))
	}
	return values
}
