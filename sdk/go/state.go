package yagura

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/yagura/yagura/sdk/go/internal/state"
)

// Lengths of time in microseconds, the unit of all times.
const (
	Second int64 = 1_000_000
	Minute       = 60 * Second
	Hour         = 60 * Minute
	Day          = 24 * Hour
)

// Why the state was not read or changed; ask by [errors.Is]. Returned from OnBatch they set the batch aside, like any error.
var (
	// ErrNoState says that the call is not for one key: the rule has no `partition_by`, or this is not a call that evaluates
	// rows or answers a wake-up.
	ErrNoState = errors.New(
		"there is no state here: it is for rules with `partition_by`, while events of a key are evaluated")
	// ErrStateFull says that a limit of the key is hit, which the text names. Nothing was stored.
	ErrStateFull = errors.New("the state is full")
	// ErrNotACounter says that the entry is not eight bytes long.
	ErrNotACounter = errors.New("the entry is not a counter: it is not eight bytes long")
)

// State is the state of the rule and the partition key of the call at hand: [Batch.State].
//
// It is for rules with `partition_by`, whose batches hold one key each, in the order of event time. The host stores it
// between calls, whichever instance makes them. If a call fails, its changes are dropped. Other keys and other rules do not see
// it.
//
// `at` is always the event time of the row being evaluated, or the time of the wake-up: microseconds since
// 1970-01-01T00:00:00Z. `expires` is the event time from which on an entry counts as absent.
//
//	func (d *guessing) OnBatch(batch *yagura.Batch, findings *yagura.Findings) error {
//		state := batch.State()
//		for row := range batch.Rows() {
//			failures, err := state.Increment("failures", 1, d.time.Or(row, 0))
//			…
type State struct{}

// Waker is a detector that handles wake-ups, which its keys request by [State.Wake]. Without it, the host calls [Watermarker].
type Waker interface {
	// OnWake is called with exactly the requested time, in microseconds since 1970-01-01T00:00:00Z: no event of the key
	// before it can follow. Use [Findings.AtWatermark] for findings. Errors are as for [Detector]'s
	// OnBatch.
	OnWake(time int64, state State, findings *Findings) error
}

// Get returns the value under a name; false if there is none, or it expires at or before `at`. The error is [ErrNoState].
func (State) Get(name string, at int64) (value []byte, found bool, err error) {
	value, found, failure := state.Get(name, at)
	return value, found, stateError(failure)
}

// Count returns the value of a counter; 0 if it is absent. The error is [ErrNoState] or [ErrNotACounter].
func (s State) Count(name string, at int64) (int64, error) {
	value, found, err := s.Get(name, at)
	switch {
	case err != nil || !found:
		return 0, err
	case len(value) != 8:
		return 0, ErrNotACounter
	}
	return int64(binary.LittleEndian.Uint64(value)), nil
}

// GetJSON decodes the JSON text under a name into what `into` points to; false if there is none.
func (s State) GetJSON(name string, at int64, into any) (found bool, err error) {
	value, found, err := s.Get(name, at)
	if err != nil || !found {
		return false, err
	}
	if err := json.Unmarshal(value, into); err != nil {
		return true, fmt.Errorf("the state's entry `%s` cannot be decoded: %w", name, err)
	}
	return true, nil
}

// Put stores a value under a name, and replaces an earlier one. It stays until it is removed. The error is [ErrNoState] or
// [ErrStateFull].
func (State) Put(name string, value []byte) error {
	return stateError(state.Put(name, value, nil))
}

// PutUntil is [State.Put] for a value that expires.
func (State) PutUntil(name string, value []byte, expires int64) error {
	return stateError(state.Put(name, value, &expires))
}

// PutJSON stores a value as JSON text, as [State.PutUntil] does.
func (s State) PutJSON(name string, value any, expires int64) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("the state's entry `%s` cannot be encoded: %w", name, err)
	}
	return s.PutUntil(name, text, expires)
}

// Increment adds to a counter and returns its new value, which stays within the range of int64. An absent counter starts from 0
// and does not expire; an existing one keeps its expiry.
func (State) Increment(name string, by, at int64) (int64, error) {
	count, failure := state.Increment(name, by, at, nil)
	return count, stateError(failure)
}

// IncrementUntil is [State.Increment] with a new expiry, also for an existing counter.
func (State) IncrementUntil(name string, by, at, expires int64) (int64, error) {
	count, failure := state.Increment(name, by, at, &expires)
	return count, stateError(failure)
}

// Remove removes an entry, if it exists. The error is [ErrNoState].
func (State) Remove(name string) error {
	return stateError(state.Remove(name))
}

// Wake requests one call of [Waker]'s OnWake with exactly this time. It happens when no earlier event of the key can follow, and
// before any later row of the key is evaluated. During a wake-up, a time at or before the time of the wake-up has no effect. The
// error is [ErrNoState] or [ErrStateFull].
func (State) Wake(at int64) error {
	return stateError(state.Wake(at))
}

func stateError(failure *state.Error) error {
	switch {
	case failure == nil:
		return nil
	case failure.Kind == state.TooLarge:
		return fmt.Errorf("%w: %s", ErrStateFull, failure.Message)
	case failure.Kind == state.NotANumber:
		return ErrNotACounter
	}
	return ErrNoState
}
