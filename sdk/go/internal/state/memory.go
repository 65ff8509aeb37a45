package state

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
)

// The host's limits for one key: bytes by default, entries and wake-ups always.
const (
	mostBytes   = 64 << 10
	mostEntries = 1000
	mostWakes   = 100
)

// Memory is the state of one key in unit tests: what the host does, without one. It is made by [NewMemory].
type Memory struct {
	entries map[string]entry
	wakes   map[int64]bool
	// woken is the time of the wake-up under way.
	woken *int64
}

type entry struct {
	value   []byte
	expires *int64
}

// atHand is the state of the key whose rows are evaluated; nil outside of calls for a key.
var atHand *Memory

// NewMemory returns the state of a key that remembers nothing.
func NewMemory() *Memory {
	return &Memory{entries: map[string]entry{}, wakes: map[int64]bool{}}
}

// Call makes a call in which a detector sees a copy of the memory, and returns the copy where the call succeeds, else the
// memory. `woken` is the time of the wake-up that the call answers, nil for a batch.
func (m *Memory) Call(woken *int64, call func() (succeeded bool)) *Memory {
	copied := m.copy()
	copied.woken = woken
	if woken != nil {
		delete(copied.wakes, *woken)
		copied.expire(*woken)
	}
	atHand = copied
	defer func() { atHand = nil }()
	if call() {
		return copied
	}
	return m
}

// Wakes returns the times for which the key asked to be woken, in order.
func (m *Memory) Wakes() []int64 {
	return slices.Sorted(maps.Keys(m.wakes))
}

func (m *Memory) copy() *Memory {
	// Values are replaced and never changed.
	return &Memory{entries: maps.Clone(m.entries), wakes: maps.Clone(m.wakes)}
}

func (m *Memory) expire(at int64) {
	maps.DeleteFunc(m.entries, func(_ string, entry entry) bool {
		return entry.expires != nil && *entry.expires <= at
	})
}

func (m *Memory) get(name string, at int64) ([]byte, bool) {
	m.expire(at)
	entry, found := m.entries[name]
	return bytes.Clone(entry.value), found
}

func (m *Memory) put(name string, value []byte, expires *int64) *Error {
	count, size := 1, len(name)+len(value)
	for other, entry := range m.entries {
		if other != name {
			count++
			size += len(other) + len(entry.value)
		}
	}
	if count > mostEntries {
		return tooLarge("the key has %d entries, which is the maximum: remove some, or let them expire", mostEntries)
	}
	if size > mostBytes {
		return tooLarge("the entries of the key would have %d bytes; the maximum is %d", size, mostBytes)
	}
	m.entries[name] = entry{value: append([]byte{}, value...), expires: expires}
	return nil
}

func (m *Memory) increment(name string, by, at int64, expires *int64) (int64, *Error) {
	m.expire(at)
	earlier, found := m.entries[name]
	var count int64
	if found {
		if len(earlier.value) != 8 {
			return 0, &Error{Kind: NotANumber}
		}
		count = int64(binary.LittleEndian.Uint64(earlier.value))
	}
	if expires == nil {
		expires = earlier.expires
	}
	count = add(count, by)
	if failure := m.put(name, binary.LittleEndian.AppendUint64(nil, uint64(count)), expires); failure != nil {
		return 0, failure
	}
	return count, nil
}

func (m *Memory) wake(at int64) *Error {
	if m.woken != nil && at <= *m.woken || m.wakes[at] {
		return nil
	}
	if len(m.wakes) >= mostWakes {
		return tooLarge("the key has %d wake-ups, which is the maximum", mostWakes)
	}
	m.wakes[at] = true
	return nil
}

// add adds within the bounds of the type.
func add(a, b int64) int64 {
	switch {
	case b > 0 && a > math.MaxInt64-b:
		return math.MaxInt64
	case b < 0 && a < math.MinInt64-b:
		return math.MinInt64
	}
	return a + b
}

func tooLarge(format string, arguments ...any) *Error {
	return &Error{Kind: TooLarge, Message: fmt.Sprintf(format, arguments...)}
}
