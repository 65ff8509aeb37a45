package yagura

import (
	"github.com/yagura/yagura/sdk/go/internal/detection"
	"github.com/yagura/yagura/sdk/go/plugin"
)

// Severity is the severity of a finding. The zero value stands for the rule's severity.
type Severity = plugin.Severity

// The severities, in rising order.
const (
	Info     = plugin.Info
	Low      = plugin.Low
	Medium   = plugin.Medium
	High     = plugin.High
	Critical = plugin.Critical
)

// Observable is a kind of observable.
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

// Findings collects the findings of one call, in order.
type Findings struct {
	list []*detection.Finding
	// block is memory for findings to come; making it in blocks costs less than one by one.
	block []Finding
}

// Row adds a finding about one event. The methods of [Finding] can change it.
func (f *Findings) Row(row Row) *Finding {
	finding := f.push()
	finding.one[0] = uint32(row.index)
	finding.finding.Rows = finding.one[:]
	return finding
}

// Rows adds a finding about several events of the batch, at least one.
func (f *Findings) Rows(rows ...Row) *Finding {
	finding := f.push()
	for _, row := range rows {
		finding.finding.Rows = append(finding.finding.Rows, uint32(row.index))
	}
	return finding
}

// AtWatermark adds a finding from [Waker]'s OnWake or [Watermarker]'s OnWatermark, which has no rows.
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

// Finding changes one finding. Title, severity and key come from the rule unless they are set here.
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

// Severity replaces the rule's severity. It panics if there is no such severity.
func (f *Finding) Severity(severity Severity) *Finding {
	if severity > Critical {
		panic("yagura: there is no severity beyond critical")
	}
	f.finding.Severity = uint8(severity)
	return f
}

// Key replaces the values of the rule's key columns: findings with the same key belong to the same alert.
func (f *Finding) Key(key string) *Finding {
	f.finding.Key = &key
	return f
}

// Observable adds an observable; an empty one is left out.
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
