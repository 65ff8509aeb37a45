package yaguratest

import (
	"encoding/binary"

	"github.com/yagura/yagura/sdk/go/internal/abi"
	"github.com/yagura/yagura/sdk/go/internal/author"
	"github.com/yagura/yagura/sdk/go/internal/normalizing"
	"github.com/yagura/yagura/sdk/go/plugin"
)

// Parse opens the package's normalizer with a configuration, JSON text or empty, and returns the events of a record, each as
// JSON text. The error of a malformed record is a [plugin.DataError].
func Parse(config string, record []byte) ([]string, error) {
	opened := normalizing.New()
	if failure := opened.Open(orNothing(config)); failure != nil {
		return nil, author.FromContract(failure)
	}
	offsets := binary.LittleEndian.AppendUint32(make([]byte, 4), uint32(len(record)))
	found, failure := opened.Normalize(&abi.Column{Offsets: offsets, Values: record})
	if failure != nil {
		return nil, author.FromContract(failure)
	}
	if len(found.Malformed) > 0 {
		return nil, plugin.DataError(found.Malformed[0].Reason)
	}
	var events []string
	start := uint32(0)
	for _, end := range found.Ends {
		events = append(events, string(found.Text[start:end]))
		start = end
	}
	return events, nil
}
