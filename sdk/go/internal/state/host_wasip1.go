package state

import (
	"unsafe"

	"github.com/yagura/yagura/sdk/go/internal/abi"
)

// area is where the host puts its answers. It does not lie on a stack, which may move while the host asks for memory.
var area [areaSize / 8]uint64

//go:wasmimport yagura:plugin/state@0.1.0 rule
func hostRule(area unsafe.Pointer)

//go:wasmimport yagura:plugin/state@0.1.0 get
func hostGet(name string, at int64, area unsafe.Pointer)

//go:wasmimport yagura:plugin/state@0.1.0 put
func hostPut(name string, value unsafe.Pointer, bytes uint32, expires uint32, expiry int64, area unsafe.Pointer)

//go:wasmimport yagura:plugin/state@0.1.0 increment
func hostIncrement(name string, by, at int64, expires uint32, expiry int64, area unsafe.Pointer)

//go:wasmimport yagura:plugin/state@0.1.0 remove
func hostRemove(name string, area unsafe.Pointer)

//go:wasmimport yagura:plugin/state@0.1.0 wake
func hostWake(at int64, area unsafe.Pointer)

// Rule returns the number of the rule whose key is at hand.
func Rule() (uint32, *Error) {
	hostRule(unsafe.Pointer(&area))
	return readRule(abi.GuestMemory, answered())
}

// Get returns the value under a name.
func Get(name string, at int64) ([]byte, bool, *Error) {
	defer abi.Release(abi.Held())
	hostGet(abi.ValidText(name), at, unsafe.Pointer(&area))
	return readValue(abi.GuestMemory, answered())
}

// Put stores a value under a name; `expires` is nil for one that stays.
func Put(name string, value []byte, expires *int64) *Error {
	defer abi.Release(abi.Held())
	known, expiry := option(expires)
	hostPut(abi.ValidText(name), unsafe.Pointer(unsafe.SliceData(value)), uint32(len(value)), known, expiry,
		unsafe.Pointer(&area))
	return readNothing(abi.GuestMemory, answered())
}

// Increment adds to a counter and returns its new value; `expires` is nil to keep its expiry.
func Increment(name string, by, at int64, expires *int64) (int64, *Error) {
	defer abi.Release(abi.Held())
	known, expiry := option(expires)
	hostIncrement(abi.ValidText(name), by, at, known, expiry, unsafe.Pointer(&area))
	return readCount(abi.GuestMemory, answered())
}

// Remove forgets what is under a name.
func Remove(name string) *Error {
	hostRemove(abi.ValidText(name), unsafe.Pointer(&area))
	return readNothing(abi.GuestMemory, answered())
}

// Wake asks for a call at a time.
func Wake(at int64) *Error {
	defer abi.Release(abi.Held())
	hostWake(at, unsafe.Pointer(&area))
	return readNothing(abi.GuestMemory, answered())
}

func answered() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&area)), areaSize)
}

// option lowers an `option<s64>`.
func option(value *int64) (known uint32, number int64) {
	if value == nil {
		return 0, 0
	}
	return 1, *value
}
