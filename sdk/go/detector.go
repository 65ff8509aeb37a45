package yagura

// Detector evaluates the events of one rule.
type Detector interface {
	// OnBatch evaluates one batch. The same events may come in any number of batches.
	//
	// After a [RetryError], the host tries once more. After any other error, and after a panic, it skips the events and
	// reports a [DataError].
	OnBatch(batch *Batch, findings *Findings) error
}

// Watermarker is a detector that is also called when event time advances.
type Watermarker interface {
	// OnWatermark is called when no event before `time` (microseconds since 1970-01-01T00:00:00Z) can follow. There is no
	// other source of time. Errors are as for [Detector]'s OnBatch.
	OnWatermark(time int64, findings *Findings) error
}

// Stateful is a detector with a memory of its own. Use [State] for the state of a partition key.
type Stateful interface {
	// Snapshot returns the detector's own memory, in its own encoding; empty if it has none.
	Snapshot() ([]byte, error)
	// Restore restores an earlier Snapshot; it is not called if that was empty. The detector may keep the bytes.
	Restore(state []byte) error
}

// entry is a detector that can be opened for a rule.
type entry struct {
	id   string
	open func(rule *Rule) (Detector, error)
}

// entries are the detectors, in the order of their registration.
var entries []entry

// Detect registers the detector of the rule `id`; call it from an init function. One function may serve several rules: it runs
// once for each rule that the host opens.
//
// `open` looks up columns and configuration, and need not check errors: the first failed lookup of [Rule] is reported after
// `open` returns, whatever it returns. An error or a panic is a [ConfigError] that names the rule; an error
// that is a [DataError] or [RetryError] stays one.
func Detect(id string, open func(rule *Rule) (Detector, error)) {
	entries = append(entries, entry{id: id, open: open})
}
