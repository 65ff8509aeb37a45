package abi

import (
	"encoding/binary"
	"unsafe"
)

// Memory gives the bytes that the host wrote at an address of the guest's memory, without a copy.
type Memory func(address, bytes uint32) []byte

// The sizes in memory of the contract's records that come in lists.
const (
	fieldSize  = 12
	columnSize = 24
	pairSize   = 16
)

// Bytes returns the `list<u8>` whose address and length stand at an offset of a record.
func (m Memory) Bytes(record []byte, at int) []byte {
	address := binary.LittleEndian.Uint32(record[at:])
	return m.List(address, binary.LittleEndian.Uint32(record[at+4:]), 1)
}

// Text returns the `string` whose address and length stand at an offset of a record. The host has made sure that it is
// UTF-8.
func (m Memory) Text(record []byte, at int) string {
	bytes := m.Bytes(record, at)
	return unsafe.String(unsafe.SliceData(bytes), len(bytes))
}

// Records returns the bytes of a list of records whose address and length stand at an offset of a record.
func (m Memory) Records(record []byte, at, size int) []byte {
	address := binary.LittleEndian.Uint32(record[at:])
	return m.List(address, binary.LittleEndian.Uint32(record[at+4:]), size)
}

// List returns the bytes of a list of `count` elements of `size` bytes.
func (m Memory) List(address, count uint32, size int) []byte {
	if count == 0 {
		return nil
	}
	return m(address, count*uint32(size))
}

// Fields returns the `list<field>` whose address and length stand at an offset of a record.
func (m Memory) Fields(record []byte, at int) []Field {
	list := m.Records(record, at, fieldSize)
	fields := make([]Field, 0, len(list)/fieldSize)
	for ; len(list) >= fieldSize; list = list[fieldSize:] {
		fields = append(fields, Field{
			Name:     m.Text(list, 0),
			DataType: DataType(list[8]),
			Nullable: list[9] != 0,
		})
	}
	return fields
}

// Columns returns the `list<column>` at an address.
func (m Memory) Columns(address, count uint32) []Column {
	list := m.List(address, count, columnSize)
	columns := make([]Column, 0, count)
	for ; len(list) >= columnSize; list = list[columnSize:] {
		columns = append(columns, Column{
			Validity: m.Bytes(list, 0),
			Offsets:  m.Bytes(list, 8),
			Values:   m.Bytes(list, 16),
		})
	}
	return columns
}

// Pairs returns the `list<tuple<string, string>>` whose address and length stand at an offset of a record.
func (m Memory) Pairs(record []byte, at int) [][2]string {
	list := m.Records(record, at, pairSize)
	var pairs [][2]string
	for ; len(list) >= pairSize; list = list[pairSize:] {
		pairs = append(pairs, [2]string{m.Text(list, 0), m.Text(list, 8)})
	}
	return pairs
}

// Error returns the error of a result whose error is a plugin-error and whose value is aligned to four; nil where there is
// none.
func (m Memory) Error(area []byte) *Error {
	if area[0] == 0 {
		return nil
	}
	return &Error{Kind: ErrorKind(area[ResultValue]), Message: m.Text(area, ResultValue+4)}
}

// Word returns the unsigned 32-bit integer at an offset of a record.
func Word(record []byte, at int) uint32 {
	return binary.LittleEndian.Uint32(record[at:])
}
