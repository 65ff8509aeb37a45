// Package state is the contract's interface of the same name: what a detector remembers of one partition key, in Go types.
// In a component the host keeps it; natively, in unit tests, a [Memory] does.
package state

// Kind is the case of a state-error, in the contract's order.
type Kind uint8

// The cases of the contract's `state-error`.
const (
	NoScope Kind = iota
	TooLarge
	NotANumber
)

// Error is the contract's `state-error`.
type Error struct {
	Kind Kind
	// Message is the host's own, for what is too large.
	Message string
}
