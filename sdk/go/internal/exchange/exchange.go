// Package exchange is the contract's interface `http`, in Go types: in a component the host answers, natively what a unit
// test puts in its place.
package exchange

import (
	"encoding/binary"

	"github.com/yagura/yagura/sdk/go/internal/abi"
)

// Request is the contract's `request`.
type Request struct {
	Method  string
	URL     string
	Headers [][2]string
	Body    []byte
	// Sign is nil for a request that is not signed.
	Sign *Signature
}

// Signature is the contract's `signature`.
type Signature struct {
	Header, Secret, Prefix, Before string
}

// Response is the contract's `response`.
type Response struct {
	Status  uint16
	Headers [][2]string
	Body    []byte
}

// Kind is the case of an http-error, in the contract's order.
type Kind uint8

// The cases of the contract's `http-error`.
const (
	Denied Kind = iota
	Limited
	Timeout
	TooLarge
	Failed
)

// Error is the contract's `http-error`.
type Error struct {
	Kind Kind
	// Message is empty for what has none: a timeout, and an answer that is too large.
	Message string
}

const (
	// requestSize is the size of a `request`, which has too many fields for parameters.
	requestSize = 68
	// answerSize is the size of a `result<response, http-error>`.
	answerSize = 24
)

// putRequest lowers a `request`.
func putRequest(request *Request) *abi.Answer {
	record := abi.NewAnswer(requestSize)
	record.PutText(0, request.Method)
	record.PutText(8, request.URL)
	record.PutPairs(16, request.Headers)
	record.PutBytes(24, request.Body)
	if sign := request.Sign; sign != nil {
		record.PutByte(32, 1)
		record.PutText(36, sign.Header)
		record.PutText(44, sign.Secret)
		record.PutText(52, sign.Prefix)
		record.PutText(60, sign.Before)
	}
	return record
}

// readAnswer lifts a `result<response, http-error>`.
func readAnswer(memory abi.Memory, area []byte) (*Response, *Error) {
	if area[0] != 0 {
		failure := &Error{Kind: Kind(area[4])}
		switch failure.Kind {
		case Denied, Limited, Failed:
			failure.Message = memory.Text(area, 8)
		}
		return nil, failure
	}
	return &Response{
		Status:  binary.LittleEndian.Uint16(area[4:]),
		Headers: memory.Pairs(area, 8),
		Body:    memory.Bytes(area, 16),
	}, nil
}
