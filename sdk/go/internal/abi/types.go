// Package abi lowers Go values to the Component Model's canonical ABI and lifts them from it: what all worlds of the
// plugin contract share.
//
// The layouts follow https://github.com/WebAssembly/component-model/blob/main/design/mvp/CanonicalABI.md. All that
// computes is plain Go and tested natively; what touches the guest's memory stands in the files for wasip1.
package abi

// DataType is the type of a column, in the contract's order.
type DataType uint8

// The contract's `data-type`.
const (
	Boolean DataType = iota
	Int64
	Float64
	Timestamp
	UTF8
	Binary
)

// String returns the type's name as error messages have it.
func (t DataType) String() string {
	switch t {
	case Boolean:
		return "boolean"
	case Int64:
		return "int64"
	case Float64:
		return "float64"
	case Timestamp:
		return "timestamp"
	case UTF8:
		return "utf8"
	case Binary:
		return "binary"
	}
	return "unknown"
}

// Field is the contract's `field`: a column of a schema.
type Field struct {
	Name     string
	DataType DataType
	Nullable bool
}

// Column is the contract's `column`.
type Column struct {
	// Validity has one bit a row, least significant bit first; empty when every row has a value.
	Validity []byte
	// Offsets has rows + 1 little-endian integers of four bytes; empty for types of fixed width.
	Offsets []byte
	Values  []byte
}

// Batch is the contract's `batch`.
type Batch struct {
	Rows    uint32
	Columns []Column
}

// ErrorKind is the case of a plugin-error, in the contract's order.
type ErrorKind uint8

// The cases of the contract's `plugin-error`.
const (
	Config ErrorKind = iota
	Data
	Retry
)

// Error is the contract's `plugin-error`.
type Error struct {
	Kind    ErrorKind
	Message string
}

// Error returns the message.
func (e *Error) Error() string {
	return e.Message
}

// Level is the level of a log line, in the contract's order.
type Level uint8

// The contract's `level`.
const (
	LevelDebug Level = iota
	LevelInfo
	LevelWarn
	LevelError
)

// String returns the level's name.
func (l Level) String() string {
	switch l {
	case LevelDebug:
		return "debug"
	case LevelInfo:
		return "info"
	case LevelWarn:
		return "warn"
	}
	return "error"
}
