package yagura

import (
	"encoding/binary"
	"math"
	"unicode/utf8"
	"unsafe"

	"github.com/yagura/yagura/sdk/go/internal/abi"
)

// column is one column of a batch: what all kinds of handles and views read.
type column struct {
	rows int
	// validity has one bit a row, least significant bit first; empty means that every row has a value.
	validity []byte
	offsets  []uint32
	values   []byte
	encoding encoding
}

// encoding is what is known of all bytes of a text column.
type encoding uint8

const (
	// notLooked is before the first value is asked for.
	notLooked encoding = iota
	// ascii: any part of it is text.
	ascii
	// wholeUTF8: the column as a whole is UTF-8, so that a value needs no check but that of its ends.
	wholeUTF8
	// mixed: some value is not UTF-8.
	mixed
)

func (c *column) fill(raw *abi.Column, rows int) {
	c.rows = rows
	c.validity = raw.Validity
	c.offsets = words[uint32](raw.Offsets)
	c.values = raw.Values
}

// has says whether there is a value in a row.
func (c *column) has(row int) bool {
	return uint(row) < uint(c.rows) && (len(c.validity) == 0 || bit(c.validity, row))
}

func bit(bits []byte, row int) bool {
	return bits[uint(row)/8]>>(uint(row)%8)&1 == 1
}

// text returns the text in a row, without a copy. A value that is not UTF-8, which the host never sends, is NULL.
func (c *column) text(row int) (string, bool) {
	bytes, found := c.bytes(row)
	if !found || c.encoding != ascii && !c.isText(bytes, row) {
		return "", false
	}
	return unsafe.String(unsafe.SliceData(bytes), len(bytes)), true
}

// bytes returns the bytes in a row of a text or binary column. It is small enough to become part of what calls it, which
// is worth more in a component than natively.
func (c *column) bytes(row int) ([]byte, bool) {
	if c.has(row) {
		start, end := c.offsets[row], c.offsets[row+1]
		if start <= end && int(end) <= len(c.values) {
			return c.values[start:end], true
		}
	}
	return nil, false
}

// isText says whether a value is UTF-8, where the column is not known to be ASCII.
func (c *column) isText(bytes []byte, row int) bool {
	if c.encoding == notLooked {
		c.encoding = look(c.values)
	}
	switch c.encoding {
	case ascii:
		return true
	case wholeUTF8:
		return c.startsCharacter(c.offsets[row]) && c.startsCharacter(c.offsets[row+1])
	}
	return utf8.Valid(bytes)
}

func (c *column) startsCharacter(at uint32) bool {
	return int(at) == len(c.values) || utf8.RuneStart(c.values[at])
}

func look(values []byte) encoding {
	if isASCII(values) {
		return ascii
	}
	if utf8.Valid(values) {
		return wholeUTF8
	}
	return mixed
}

// isASCII looks at 32 bytes a step.
func isASCII(bytes []byte) bool {
	for ; len(bytes) >= 32; bytes = bytes[32:] {
		bits := binary.LittleEndian.Uint64(bytes) | binary.LittleEndian.Uint64(bytes[8:]) |
			binary.LittleEndian.Uint64(bytes[16:]) | binary.LittleEndian.Uint64(bytes[24:])
		if bits&0x8080_8080_8080_8080 != 0 {
			return false
		}
	}
	for _, one := range bytes {
		if one >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func (c *column) int64(row int) (int64, bool) {
	if !c.has(row) {
		return 0, false
	}
	return int64(binary.LittleEndian.Uint64(c.values[row*8:])), true
}

func (c *column) float64(row int) (float64, bool) {
	if !c.has(row) {
		return 0, false
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(c.values[row*8:])), true
}

func (c *column) boolean(row int) (value, valid bool) {
	if !c.has(row) {
		return false, false
	}
	return bit(c.values, row), true
}

// word is a number that crosses as little-endian bytes.
type word interface{ uint32 | int64 | float64 }

var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// words returns bytes as numbers. It is the same memory wherever the bytes lie aligned, which they do in a component; else
// it is a copy.
func words[T word](bytes []byte) []T {
	var zero T
	size := int(unsafe.Sizeof(zero))
	count := len(bytes) / size
	if count == 0 {
		return nil
	}
	start := unsafe.Pointer(unsafe.SliceData(bytes))
	if littleEndian && uintptr(start)%uintptr(size) == 0 {
		return unsafe.Slice((*T)(start), count)
	}
	numbers := make([]T, count)
	// The sizes are right by construction, which is all that Decode asks for.
	_, _ = binary.Decode(bytes[:count*size], binary.LittleEndian, numbers)
	return numbers
}
