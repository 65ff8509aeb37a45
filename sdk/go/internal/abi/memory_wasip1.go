package abi

import "unsafe"

// held is what the host has written for the call to come or under way. The host knows only addresses: without a
// reference here the collector would take the memory back. Go's collector does not move what is on the heap, so an
// address stays right for as long as the reference is held.
var held [][]byte

// answered is the answer of the call that returned last, until the host has read it.
var answered []byte

// realloc gives the host memory for what it hands over. It is from Go's own heap: whatever the plugin's author keeps of
// it (a string of an event, a slice of a column) keeps the memory, with no copy and no rule to obey.
//
// The host may not be called from here.
//
//go:wasmexport cabi_realloc
func realloc(old, oldBytes, align, bytes uint32) uint32 {
	if bytes == 0 {
		// Nothing is read or written there, but the ABI wants it aligned.
		return align
	}
	if old != 0 && bytes <= oldBytes {
		return old
	}
	// Go aligns memory by its size: sixteen bytes more than enough are aligned to eight, the contract's widest type.
	memory := make([]byte, max(bytes, 16))
	if old != 0 {
		copy(memory, GuestMemory(old, oldBytes))
	}
	held = append(held, memory)
	return addressOf(memory)
}

// GuestMemory gives the bytes at an address of the guest's memory.
func GuestMemory(address, bytes uint32) []byte {
	if bytes == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(nil), address)), bytes)
}

// Held returns how much the host has written for calls so far, for [Release].
func Held() int {
	return len(held)
}

// Release gives up what the host wrote since [Held]: the answer of a call to the host. What is kept of it keeps its memory.
func Release(before int) {
	clear(held[before:])
	held = held[:before]
}

// Lend lays out what a call to the host takes by address, holds it until [Release], and returns its address.
func Lend(record *Answer) uint32 {
	base := addressOf(record.Bytes())
	held = append(held, record.Finish(base))
	return base
}

// Return ends a call: it gives up what the host wrote for it, holds the answer until [Returned], and returns the
// answer's address.
func Return(answer *Answer) uint32 {
	clear(held)
	held = held[:0]
	base := addressOf(answer.Bytes())
	answered = answer.Finish(base)
	return base
}

// Returned gives up the last answer, which the host has read.
func Returned() {
	answered = nil
}

func addressOf(bytes []byte) uint32 {
	return uint32(uintptr(unsafe.Pointer(unsafe.SliceData(bytes))))
}
