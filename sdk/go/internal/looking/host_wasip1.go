package looking

import (
	"unsafe"

	"github.com/yagura/yagura/sdk/go/internal/abi"
)

// area is where the host puts its answers. It does not lie on a stack, which may move while the host asks for memory.
var area [answerSize / 8]uint64

//go:wasmimport yagura:plugin/lookup@0.1.0 get
func hostGet(table, key string, area unsafe.Pointer)

// Get returns the row under a key as JSON text.
func Get(table, key string) (row string, found bool, failure *abi.Error) {
	defer abi.Release(abi.Held())
	hostGet(abi.ValidText(table), abi.ValidText(key), unsafe.Pointer(&area))
	return readAnswer(abi.GuestMemory, unsafe.Slice((*byte)(unsafe.Pointer(&area)), answerSize))
}
