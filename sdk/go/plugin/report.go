package plugin

import (
	"encoding/json"
	"fmt"
	"time"
)

// Report is what a notifier is asked to tell of an incident.
type Report struct {
	// ID is the incident's. The same id names the same ticket, message or thread: it is updated, not sent again.
	ID string
	// Revision counts what was said under this id, from one.
	Revision uint32
	Status   Status
	// Title is one line.
	Title    string
	Severity Severity
	// Text is all there is to say, in short lines of plain text.
	Text string
	// Time is when the report was made, by the host's clock, in microseconds since 1970-01-01T00:00:00Z.
	Time int64
	// Alerts are the first ones; AlertCount counts all.
	Alerts      []Alert
	AlertCount  uint64
	Attributes  Attributes
	Assessments []HeldAssessment
	// Earlier is the receipt of the earlier report under this id; nil for the first.
	Earlier *string
	// Uncertain says that an earlier attempt ended without an answer, so this report, or the one that would have given a
	// receipt, may be there: look for it before making another.
	Uncertain bool
}

// IsFirst says whether nothing was said under the id before.
func (r *Report) IsFirst() bool {
	return r.Earlier == nil
}

// RevisionID returns id and revision, `ID-REVISION`: what is sent under it is sent once.
func (r *Report) RevisionID() string {
	return fmt.Sprintf("%s-%d", r.ID, r.Revision)
}

// HeldAssessment is a reviewer's assessment.
type HeldAssessment struct {
	// Reviewer is the reviewer's name.
	Reviewer string
	Assessment
}

// Status is where the work on an incident is.
type Status uint8

// Where the work on an incident is.
const (
	// Open: nobody has taken it up.
	Open Status = iota
	// Acknowledged: somebody works on it.
	Acknowledged
	// Closed: done with, by a human or because its alerts were withdrawn. The report's text says which.
	Closed
)

// String returns the status' name.
func (s Status) String() string {
	return nameOf([]string{"open", "acknowledged", "closed"}, uint8(s))
}

// MarshalText returns the status' name.
func (s Status) MarshalText() ([]byte, error) {
	return []byte(s.String()), nil
}

// MarshalJSON returns the report as Yagura itself writes it: names as in the contract with underscores, times as RFC 3339
// in UTC, absent lists as empty ones.
func (r Report) MarshalJSON() ([]byte, error) {
	assessments := make([][2]any, 0, len(r.Assessments))
	for _, held := range r.Assessments {
		assessments = append(assessments, [2]any{held.Reviewer, held.Assessment})
	}
	return json.Marshal(struct {
		ID          string     `json:"id"`
		Revision    uint32     `json:"revision"`
		Status      Status     `json:"status"`
		Title       string     `json:"title"`
		Severity    Severity   `json:"severity"`
		Text        string     `json:"text"`
		Time        string     `json:"time"`
		Alerts      []Alert    `json:"alerts"`
		AlertCount  uint64     `json:"alert_count"`
		Attributes  Attributes `json:"attributes"`
		Assessments [][2]any   `json:"assessments"`
		Earlier     *string    `json:"earlier"`
		Uncertain   bool       `json:"uncertain"`
	}{
		r.ID, r.Revision, r.Status, r.Title, r.Severity, r.Text, FormatTime(r.Time), orEmpty(r.Alerts), r.AlertCount,
		orEmpty(r.Attributes), assessments, r.Earlier, r.Uncertain,
	})
}

// MarshalJSON returns the alert as Yagura itself writes it, but for the events behind it, which plugins do not see.
func (a Alert) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		State       AlertState   `json:"state"`
		ID          string       `json:"id"`
		Rule        string       `json:"rule"`
		Title       string       `json:"title"`
		Severity    Severity     `json:"severity"`
		Key         string       `json:"key"`
		WindowStart string       `json:"window_start"`
		FirstTime   string       `json:"first_time"`
		LastTime    string       `json:"last_time"`
		Count       uint64       `json:"count"`
		Observables []Observable `json:"observables"`
		Context     []Fact       `json:"context"`
		Tags        []string     `json:"tags"`
	}{
		a.State, a.ID, a.Rule, a.Title, a.Severity, a.Key, FormatTime(a.WindowStart), FormatTime(a.FirstTime),
		FormatTime(a.LastTime), a.Count, orEmpty(a.Observables), orEmpty(a.Context), orEmpty(a.Tags),
	})
}

// FormatTime returns a time in microseconds since 1970-01-01T00:00:00Z as RFC 3339 in UTC, with microseconds.
func FormatTime(micros int64) string {
	return time.UnixMicro(micros).UTC().Format("2006-01-02T15:04:05.000000Z")
}

func orEmpty[S ~[]T, T any](list S) S {
	if list == nil {
		return S{}
	}
	return list
}
