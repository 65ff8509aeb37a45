package plugin

import "fmt"

// Severity says how severe something is. The zero value is that of whatever is spoken of: the rule's own in a finding, the
// alert's own in an assessment.
type Severity uint8

// The severities, in rising order.
const (
	Info Severity = iota + 1
	Low
	Medium
	High
	Critical
)

var severities = []string{"", "info", "low", "medium", "high", "critical"}

// String returns the severity's name as rules have it; empty for the zero value.
func (s Severity) String() string {
	return nameOf(severities, uint8(s))
}

// MarshalText returns the severity's name.
func (s Severity) MarshalText() ([]byte, error) {
	return []byte(s.String()), nil
}

// UnmarshalText takes a severity's name, so that configuration may have one.
func (s *Severity) UnmarshalText(text []byte) error {
	for number, name := range severities {
		if name == string(text) {
			*s = Severity(number)
			return nil
		}
	}
	return fmt.Errorf("%q is no severity: info, low, medium, high or critical", text)
}

// Kind is a kind of value worth searching for.
type Kind string

// The kinds of observables in the contract.
const (
	IP      Kind = "ip"
	Domain  Kind = "domain"
	User    Kind = "user"
	Host    Kind = "host"
	Hash    Kind = "hash"
	URL     Kind = "url"
	Email   Kind = "email"
	Process Kind = "process"
)

// Observable is an observable.
type Observable struct {
	Kind  Kind   `json:"kind"`
	Value string `json:"value"`
}

func nameOf(names []string, number uint8) string {
	if int(number) < len(names) {
		return names[number]
	}
	return ""
}
