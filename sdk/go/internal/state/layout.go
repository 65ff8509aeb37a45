package state

import (
	"encoding/binary"

	"github.com/yagura/yagura/sdk/go/internal/abi"
)

// areaSize is the size of the largest answer, a `result<s64, state-error>`; it lies aligned to eight.
const areaSize = 24

// readNothing lifts a `result<_, state-error>`.
func readNothing(memory abi.Memory, area []byte) *Error {
	return readError(memory, area, 4)
}

// readRule lifts a `result<u32, state-error>`.
func readRule(memory abi.Memory, area []byte) (uint32, *Error) {
	if failure := readError(memory, area, 4); failure != nil {
		return 0, failure
	}
	return binary.LittleEndian.Uint32(area[4:]), nil
}

// readCount lifts a `result<s64, state-error>`.
func readCount(memory abi.Memory, area []byte) (int64, *Error) {
	if failure := readError(memory, area, 8); failure != nil {
		return 0, failure
	}
	return int64(binary.LittleEndian.Uint64(area[8:])), nil
}

// readValue lifts a `result<option<list<u8>>, state-error>`.
func readValue(memory abi.Memory, area []byte) (value []byte, found bool, failure *Error) {
	if failure = readError(memory, area, 4); failure != nil {
		return nil, false, failure
	}
	if area[4] == 0 {
		return nil, false, nil
	}
	return memory.Bytes(area, 8), true, nil
}

// readError lifts the error of a result whose payload begins at a place; nil if there is none.
func readError(memory abi.Memory, area []byte, payload int) *Error {
	if area[0] == 0 {
		return nil
	}
	failure := &Error{Kind: Kind(area[payload])}
	if failure.Kind == TooLarge {
		failure.Message = memory.Text(area, payload+4)
	}
	return failure
}
