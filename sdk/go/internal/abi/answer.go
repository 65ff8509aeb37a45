package abi

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"
)

// Answer is the memory of one answer to the host: the return area at its start, and behind it all that it points to.
//
// Addresses are written relative to the answer's own start and made absolute at the end, so that the answer may move
// while it grows.
type Answer struct {
	bytes []byte
	// addresses are the places at which an address stands.
	addresses []int
}

// answerCapacity holds most answers; memory of this size also lies aligned for every type of the contract.
const answerCapacity = 512

// NewAnswer returns an answer with a zeroed return area of `size` bytes.
func NewAnswer(size int) *Answer {
	answer := &Answer{bytes: make([]byte, 0, answerCapacity)}
	answer.reserve(size, 1)
	return answer
}

// Finish makes the addresses absolute, given where the answer lies. Nothing can be added afterwards.
func (a *Answer) Finish(base uint32) []byte {
	for _, at := range a.addresses {
		relative := binary.LittleEndian.Uint32(a.bytes[at:])
		binary.LittleEndian.PutUint32(a.bytes[at:], relative+base)
	}
	return a.bytes
}

// Bytes returns the answer as it is so far.
func (a *Answer) Bytes() []byte {
	return a.bytes
}

// PutByte writes a discriminant, an enum or a truth value.
func (a *Answer) PutByte(at int, value byte) {
	a.bytes[at] = value
}

// PutUint32 writes an integer.
func (a *Answer) PutUint32(at int, value uint32) {
	binary.LittleEndian.PutUint32(a.bytes[at:], value)
}

// PutText writes a `string`. Go does not promise that text is UTF-8, which the host insists on: bytes that are not become
// the replacement character.
func (a *Answer) PutText(at int, text string) {
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, string(utf8.RuneError))
	}
	start := a.PutList(at, len(text), 1, 1)
	copy(a.bytes[start:], text)
}

// PutOptionalText writes an `option<string>`.
func (a *Answer) PutOptionalText(at int, text *string) {
	if text == nil {
		return
	}
	a.PutByte(at, 1)
	a.PutText(at+4, *text)
}

// PutBytes writes a `list<u8>`.
func (a *Answer) PutBytes(at int, bytes []byte) {
	start := a.PutList(at, len(bytes), 1, 1)
	copy(a.bytes[start:], bytes)
}

// PutList writes the address and the length of a list and returns where its zeroed elements are.
func (a *Answer) PutList(at, count, size, align int) int {
	if count == 0 {
		return len(a.bytes)
	}
	start := a.reserve(count*size, align)
	a.PutUint32(at, uint32(start))
	a.PutUint32(at+4, uint32(count))
	a.addresses = append(a.addresses, at)
	return start
}

// PutTexts writes a `list<string>`.
func (a *Answer) PutTexts(at int, texts []string) {
	start := a.PutList(at, len(texts), 8, 4)
	for index, text := range texts {
		a.PutText(start+8*index, text)
	}
}

// PutPairs writes a `list<tuple<string, string>>`.
func (a *Answer) PutPairs(at int, pairs [][2]string) {
	start := a.PutList(at, len(pairs), 16, 4)
	for index, pair := range pairs {
		a.PutText(start+16*index, pair[0])
		a.PutText(start+16*index+8, pair[1])
	}
}

// ResultSize is the size of a `result` whose error is a plugin-error and whose value is a list or nothing.
const ResultSize = 16

// ResultValue is where the value of such a result begins.
const ResultValue = 4

// NewResult returns an answer with a result of `size` bytes, [ResultSize] or more, that is an error unless `failure` is nil.
func NewResult(size int, failure *Error) *Answer {
	answer := NewAnswer(size)
	if failure != nil {
		answer.PutError(failure)
	}
	return answer
}

// PutError makes a result of at least [ResultSize] at the answer's start an error.
func (a *Answer) PutError(failure *Error) {
	a.PutByte(0, 1)
	a.PutByte(ResultValue, byte(failure.Kind))
	a.PutText(ResultValue+4, failure.Message)
}

// reserve adds zeroed bytes and returns where they are.
func (a *Answer) reserve(size, align int) int {
	start := (len(a.bytes) + align - 1) / align * align
	a.bytes = append(a.bytes, make([]byte, start-len(a.bytes)+size)...)
	return start
}
