// Package searching is the contract's interface `search`, in Go types: in a component the host answers, natively what a
// unit test puts in its place.
package searching

import (
	"encoding/binary"

	"github.com/yagura/yagura/sdk/go/internal/abi"
)

// Query is the contract's `query`.
type Query struct {
	Table string
	// Kind and Value are the observable.
	Kind, Value string
	From, To    int64
	Columns     []string
	Limit       uint32
}

// Events is the contract's `events`.
type Events struct {
	Schema    []abi.Field
	Batch     abi.Batch
	Truncated bool
}

// answerSize is the size of a `result<events, plugin-error>`.
const answerSize = 28

// readAnswer lifts a `result<events, plugin-error>`.
func readAnswer(memory abi.Memory, area []byte) (*Events, *abi.Error) {
	if failure := memory.Error(area); failure != nil {
		return nil, failure
	}
	columns, count := binary.LittleEndian.Uint32(area[16:]), binary.LittleEndian.Uint32(area[20:])
	return &Events{
		Schema:    memory.Fields(area, 4),
		Batch:     abi.Batch{Rows: binary.LittleEndian.Uint32(area[12:]), Columns: memory.Columns(columns, count)},
		Truncated: area[24] != 0,
	}, nil
}
