package exchange

import (
	"unsafe"

	"github.com/yagura/yagura/sdk/go/internal/abi"
)

// area is where the host puts its answers. It does not lie on a stack, which may move while the host asks for memory.
var area [(answerSize + 7) / 8]uint64

//go:wasmimport yagura:plugin/http@0.1.0 send
func hostSend(request uint32, area unsafe.Pointer)

// Send sends a request.
func Send(request *Request) (*Response, *Error) {
	defer abi.Release(abi.Held())
	record := putRequest(request)
	hostSend(abi.Lend(record), unsafe.Pointer(&area))
	return readAnswer(abi.GuestMemory, unsafe.Slice((*byte)(unsafe.Pointer(&area)), answerSize))
}
