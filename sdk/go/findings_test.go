package yagura

import (
	"reflect"
	"testing"

	"github.com/yagura/yagura/sdk/go/internal/detection"
)

func TestWhatIsEmptyIsLeftOut(t *testing.T) {
	batch := &Batch{rows: 9}
	var findings Findings
	findings.Rows(batch.Row(2), batch.Row(5)).
		Observable(IP, "192.0.2.1").
		Observable(User, "").
		Context("empty", "").
		Context("port", "22")
	findings.Row(batch.Row(0)).Title("").Key("k").Severity(Low)
	title, key := "", "k"
	wanted := []*detection.Finding{
		{Rows: []uint32{2, 5}, Observables: [][2]string{{"ip", "192.0.2.1"}}, Context: [][2]string{{"port", "22"}}},
		// An empty title is said, as it is; its severity is one more than the contract's.
		{Rows: []uint32{0}, Title: &title, Key: &key, Severity: 2},
	}
	if !reflect.DeepEqual(findings.list, wanted) {
		t.Errorf("found %+v", findings.list)
	}
}

// A finding may still be added to when others have been started: it must not move.
func TestFindingsStayWhereTheyAre(t *testing.T) {
	batch := &Batch{rows: 500}
	var findings Findings
	var started []*Finding
	for row := range batch.Rows() {
		started = append(started, findings.Row(row))
	}
	for _, finding := range started {
		finding.Context("later", "yes")
	}
	for index, finding := range findings.list {
		if finding.Rows[0] != uint32(index) || len(finding.Context) != 1 {
			t.Fatalf("finding %d is %+v", index, finding)
		}
	}
	if findings.Len() != 500 {
		t.Errorf("there are %d", findings.Len())
	}
}
