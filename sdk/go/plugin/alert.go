package plugin

import "slices"

// Alert is what a rule has found, as it is told to enrichers, reviewers and notifiers. Times are in microseconds since
// 1970-01-01T00:00:00Z.
type Alert struct {
	State AlertState
	// ID stays the same for as long as the alert is, whatever becomes of it.
	ID   string
	Rule string
	// Title is one line for a human. Like all text of an alert it holds what stood in logs, and so what an attacker may
	// have chosen.
	Title    string
	Severity Severity
	// Key says which of the rule's alerts this is: the values of its key columns.
	Key         string
	WindowStart int64
	FirstTime   int64
	LastTime    int64
	// Count is how many findings the alert has.
	Count       uint64
	Observables []Observable
	Context     []Fact
	Tags        []string
}

// Fact is a name and a value that a rule put into the alert for the reader.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// AlertState is the state of an alert.
type AlertState uint8

// The states of an alert.
const (
	// Provisional: its condition is true for the events so far.
	Provisional AlertState = iota
	// Final: no further event can change it.
	Final
	// Withdrawn: its condition is no longer true.
	Withdrawn
)

// String returns the state's name.
func (s AlertState) String() string {
	return nameOf([]string{"provisional", "final", "withdrawn"}, uint8(s))
}

// MarshalText returns the state's name.
func (s AlertState) MarshalText() ([]byte, error) {
	return []byte(s.String()), nil
}

// ObservablesOf returns the observables of a kind, each once, in order.
func (a *Alert) ObservablesOf(kind Kind) []string {
	var values []string
	for _, observable := range a.Observables {
		if observable.Kind == kind && !slices.Contains(values, observable.Value) {
			values = append(values, observable.Value)
		}
	}
	return values
}

// Fact returns the first piece of context under a name; false if there is none.
func (a *Alert) Fact(name string) (string, bool) {
	for _, fact := range a.Context {
		if fact.Name == name {
			return fact.Value, true
		}
	}
	return "", false
}

// Attribute is a fact about an alert that an enricher found.
type Attribute struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// Source is where it comes from, for a human: a service, a table, a list.
	Source string `json:"source"`
}

// Attributes is what enrichers found.
type Attributes []Attribute

// Value returns the first value under a name; false if there is none.
func (a Attributes) Value(name string) (string, bool) {
	for _, attribute := range a {
		if attribute.Name == name {
			return attribute.Value, true
		}
	}
	return "", false
}

// Values returns all values under a name, in order.
func (a Attributes) Values(name string) []string {
	var values []string
	for _, attribute := range a {
		if attribute.Name == name {
			values = append(values, attribute.Value)
		}
	}
	return values
}

// Assessment is what a reviewer thinks of an alert.
type Assessment struct {
	// Severity is how severe the alert is; the zero value is the alert's own.
	Severity Severity `json:"severity"`
	Verdict  Verdict  `json:"verdict"`
	// Reason is for a human, one sentence.
	Reason string `json:"reason"`
}

// Verdict is what a reviewer takes an alert for.
type Verdict uint8

// The verdicts.
const (
	// Undecided: it cannot be said.
	Undecided Verdict = iota
	// Benign: nothing bad has happened.
	Benign
	// Suspicious: somebody should look.
	Suspicious
	// Malicious: it is an attack.
	Malicious
)

// String returns the verdict's name.
func (v Verdict) String() string {
	return nameOf([]string{"undecided", "benign", "suspicious", "malicious"}, uint8(v))
}

// MarshalText returns the verdict's name.
func (v Verdict) MarshalText() ([]byte, error) {
	return []byte(v.String()), nil
}
