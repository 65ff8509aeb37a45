package yagura

// Detector evaluates the events of one rule.
type Detector interface {
	// OnBatch evaluates one batch. Its bounds mean nothing: the same events may come in any number of batches.
	//
	// A [RetryError] asks to see the batch once more. Any other error, and a panic, sets the batch aside and reports it as
	// a [DataError].
	OnBatch(batch *Batch, findings *Findings) error
}

// Watermarker is a detector that also wants to know how far time has come.
type Watermarker interface {
	// OnWatermark learns that no event before `time` (microseconds since 1970-01-01T00:00:00Z) is still to come. Time
	// never comes from anywhere else. Errors are as for [Detector]'s OnBatch.
	OnWatermark(time int64, findings *Findings) error
}

// Stateful is a detector that keeps something of its own from batch to batch. What belongs to a partition key is better kept
// by [State].
type Stateful interface {
	// Snapshot returns the detector's own memory, in an encoding of the detector's own; empty when there is none.
	Snapshot() ([]byte, error)
	// Restore withdraws what an earlier Snapshot returned; it is not called when that was empty. The bytes are the
	// detector's to keep.
	Restore(state []byte) error
}

// entry is a detector that can be opened for a rule.
type entry struct {
	id   string
	open func(rule *Rule) (Detector, error)
}

// entries are the detectors in the order in which the author names them.
var entries []entry

// Detect names the detector of the rule `id`; call it from an init function. One function may serve several rules: it is
// called once for each that the host opens.
//
// `open` looks up columns and configuration. It need not check each of them: the first of [Rule]'s lookups that fails is
// reported once `open` returns, whatever it returns. An error or a panic is a [ConfigError] that names the rule; an error
// that is a [DataError] or [RetryError] stays one.
func Detect(id string, open func(rule *Rule) (Detector, error)) {
	entries = append(entries, entry{id: id, open: open})
}
