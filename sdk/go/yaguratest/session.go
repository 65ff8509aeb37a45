package yaguratest

import (
	yagura "github.com/yagura/yagura/sdk/go"
	"github.com/yagura/yagura/sdk/go/internal/author"
	"github.com/yagura/yagura/sdk/go/internal/detection"
	"github.com/yagura/yagura/sdk/go/internal/state"
)

// Finding is a finding of a detector.
type Finding struct {
	// Rows are indexes in the batch, from zero; empty for a finding at a watermark.
	Rows []int
	// Title and Key are empty, and Severity is zero, if they come from the rule.
	Title       string
	Severity    yagura.Severity
	Key         string
	Observables []Pair
	Context     []Pair
}

// Pair is the kind and value of an observable, or the name and value of a piece of context.
type Pair = [2]string

// Rule is the rule that a detector is opened for.
type Rule struct {
	// ID is that of a rule that the package has a detector for, by [yagura.Detect].
	ID string
	// Config is the rule's `[rule.config]` as JSON text; empty for none.
	Config string
	// PluginConfig is the pack's `[plugin.config]` as JSON text; empty for none.
	PluginConfig string
}

// Evaluate opens the detector of the rule `id`, without configuration, and returns its findings about events, in one batch.
// The error is a [yagura.ConfigError], [yagura.DataError] or [yagura.RetryError].
func Evaluate(id string, events *Events) ([]Finding, error) {
	return EvaluateRule(Rule{ID: id}, events)
}

// EvaluateRule is [Evaluate] for a rule with configuration.
func EvaluateRule(rule Rule, events *Events) ([]Finding, error) {
	session, err := Open(rule, events)
	if err != nil {
		return nil, err
	}
	return session.Batch(events)
}

// Session is an opened detector, for tests with more than one batch.
type Session struct {
	plugin detection.Plugin
	// keys are the states of the partition keys.
	keys map[string]*state.Memory
}

// Open opens the detector of a rule with the columns of `columns`, whose values do not matter. The error is a
// [yagura.ConfigError], unless the detector returns one of another type.
func Open(rule Rule, columns *Events) (*Session, error) {
	session := &Session{plugin: detection.New(), keys: map[string]*state.Memory{}}
	opened := detection.Rule{ID: rule.ID, Config: orNothing(rule.Config), Schema: columns.fields}
	if failure := session.plugin.Open(orNothing(rule.PluginConfig), []detection.Rule{opened}); failure != nil {
		return nil, author.FromContract(failure)
	}
	return session, nil
}

// Batch passes a batch to the detector, without state; its columns are those of [Open].
func (s *Session) Batch(events *Events) ([]Finding, error) {
	found, failure := s.plugin.OnBatch(0, events.batch())
	if failure != nil {
		return nil, author.FromContract(failure)
	}
	findings := make([]Finding, 0, len(found))
	for _, finding := range found {
		findings = append(findings, readable(finding))
	}
	return findings, nil
}

// KeyedBatch passes events of one partition key to the detector, in the order of their event time. The state of the key is kept
// in memory, with the host's limits. As with a host, a call that fails changes no state.
func (s *Session) KeyedBatch(key string, events *Events) (findings []Finding, err error) {
	s.keys[key] = s.memory(key).Call(nil, func() bool {
		findings, err = s.Batch(events)
		return err == nil
	})
	return findings, err
}

// Wake wakes a partition key at a time in microseconds since 1970-01-01T00:00:00Z. A test calls it for each of
// [Session.Wakes] in their order, or for any other time.
func (s *Session) Wake(key string, time int64) (findings []Finding, err error) {
	s.keys[key] = s.memory(key).Call(&time, func() bool {
		findings, err = s.Watermark(time)
		return err == nil
	})
	return findings, err
}

// Wakes returns the times of the requested wake-ups of a partition key, in order.
func (s *Session) Wakes(key string) []int64 {
	return s.memory(key).Wakes()
}

func (s *Session) memory(key string) *state.Memory {
	if memory, found := s.keys[key]; found {
		return memory
	}
	return state.NewMemory()
}

// Prepare returns a function that passes the same batch to the detector with each call and returns the number of findings. Use it
// in benchmarks and with testing.AllocsPerRun: it does not build the batch again.
func (s *Session) Prepare(events *Events) func() (findings int, err error) {
	batch := events.batch()
	return func() (int, error) {
		found, failure := s.plugin.OnBatch(0, batch)
		if failure != nil {
			return 0, author.FromContract(failure)
		}
		return len(found), nil
	}
}

// Watermark calls the detector with a watermark: no event before `time`, in microseconds since 1970-01-01T00:00:00Z, can follow.
func (s *Session) Watermark(time int64) ([]Finding, error) {
	found, failure := s.plugin.OnWatermark(time)
	if failure != nil {
		return nil, author.FromContract(failure)
	}
	findings := make([]Finding, 0, len(found))
	for _, finding := range found {
		findings = append(findings, readable(finding.Finding))
	}
	return findings, nil
}

// Snapshot returns the plugin's own memory, for [Session.Restore] of another session of the same rule.
func (s *Session) Snapshot() ([]byte, error) {
	bytes, failure := s.plugin.Snapshot()
	if failure != nil {
		return nil, author.FromContract(failure)
	}
	return bytes, nil
}

// Restore restores the snapshot of an earlier session.
func (s *Session) Restore(bytes []byte) error {
	if failure := s.plugin.Restore(bytes); failure != nil {
		return author.FromContract(failure)
	}
	return nil
}

func orNothing(config string) string {
	if config == "" {
		return "{}"
	}
	return config
}

func readable(finding *detection.Finding) Finding {
	result := Finding{
		Severity:    yagura.Severity(finding.Severity),
		Observables: finding.Observables,
		Context:     finding.Context,
	}
	for _, row := range finding.Rows {
		result.Rows = append(result.Rows, int(row))
	}
	if finding.Title != nil {
		result.Title = *finding.Title
	}
	if finding.Key != nil {
		result.Key = *finding.Key
	}
	return result
}
