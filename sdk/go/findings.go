package yagura

import (
	"github.com/yagura/yagura/sdk/go/internal/detection"
	"github.com/yagura/yagura/sdk/go/plugin"
)

// Severity says how severe a finding is. The zero value is the rule's own severity.
type Severity = plugin.Severity

// The severities, in rising order.
const (
	Info     = plugin.Info
	Low      = plugin.Low
	Medium   = plugin.Medium
	High     = plugin.High
	Critical = plugin.Critical
)

// Observable is a kind of value worth searching for.
type Observable = plugin.Kind

// The kinds of observables in the contract.
const (
	IP      = plugin.IP
	Domain  = plugin.Domain
	User    = plugin.User
	Host    = plugin.Host
	Hash    = plugin.Hash
	URL     = plugin.URL
	Email   = plugin.Email
	Process = plugin.Process
)

// Findings collects the findings of one call, in the order in which they are made.
type Findings struct {
	list []*detection.Finding
	// block is memory for findings to come; making it in blocks costs less than one by one.
	block []Finding
}

// Row starts a finding about one event. It counts as it is; what the [Finding]'s methods say adds to it.
func (f *Findings) Row(row Row) *Finding {
	finding := f.push()
	finding.one[0] = uint32(row.index)
	finding.finding.Rows = finding.one[:]
	return finding
}

// Rows starts a finding about several events of the batch, at least one.
func (f *Findings) Rows(rows ...Row) *Finding {
	finding := f.push()
	for _, row := range rows {
		finding.finding.Rows = append(finding.finding.Rows, uint32(row.index))
	}
	return finding
}

// AtWatermark starts a finding from [Waker]'s OnWake or [Watermarker]'s OnWatermark, where there are no rows to name.
func (f *Findings) AtWatermark() *Finding {
	return f.push()
}

// Len returns how many findings there are.
func (f *Findings) Len() int {
	return len(f.list)
}

func (f *Findings) push() *Finding {
	if len(f.block) == cap(f.block) {
		f.block = make([]Finding, 0, min(max(2*cap(f.block), 1), 64))
	}
	f.block = append(f.block, Finding{})
	finding := &f.block[len(f.block)-1]
	f.list = append(f.list, &finding.finding)
	return finding
}

// Finding adds to one finding. What is not said comes from the rule: its title, its severity, its key columns.
type Finding struct {
	finding detection.Finding
	// one is the row of a finding about one event.
	one [1]uint32
}

// Title replaces the rule's title.
func (f *Finding) Title(title string) *Finding {
	f.finding.Title = &title
	return f
}

// Severity replaces the rule's severity. It panics when there is no such severity.
func (f *Finding) Severity(severity Severity) *Finding {
	if severity > Critical {
		panic("yagura: there is no severity beyond critical")
	}
	f.finding.Severity = uint8(severity)
	return f
}

// Key replaces the values of the rule's key columns: findings of equal key share an alert.
func (f *Finding) Key(key string) *Finding {
	f.finding.Key = &key
	return f
}

// Observable adds a value worth searching for; an empty one is left out.
func (f *Finding) Observable(kind Observable, value string) *Finding {
	if value != "" {
		f.finding.Observables = append(f.finding.Observables, [2]string{string(kind), value})
	}
	return f
}

// Context adds a fact for the reader; an empty one is left out.
func (f *Finding) Context(name, value string) *Finding {
	if value != "" {
		f.finding.Context = append(f.finding.Context, [2]string{name, value})
	}
	return f
}
