package searching

import (
	"unsafe"

	"github.com/yagura/yagura/sdk/go/internal/abi"
)

// area is where the host puts its answers. It does not lie on a stack, which may move while the host asks for memory.
var area [(answerSize + 7) / 8]uint64

//go:wasmimport yagura:plugin/search@0.1.0 find
func hostFind(
	table, kind, value string, from, to int64, columns, columnCount, limit uint32, area unsafe.Pointer,
)

// Find returns the events that a query asks for.
func Find(query *Query) (*Events, *abi.Error) {
	defer abi.Release(abi.Held())
	columns := abi.NewAnswer(8)
	columns.PutTexts(0, query.Columns)
	list := abi.GuestMemory(abi.Lend(columns), 8)
	hostFind(abi.ValidText(query.Table), abi.ValidText(query.Kind), abi.ValidText(query.Value), query.From, query.To,
		abi.Word(list, 0), abi.Word(list, 4), query.Limit, unsafe.Pointer(&area))
	return readAnswer(abi.GuestMemory, unsafe.Slice((*byte)(unsafe.Pointer(&area)), answerSize))
}
