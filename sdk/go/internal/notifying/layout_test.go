package notifying

import (
	"reflect"
	"testing"

	"github.com/yagura/yagura/sdk/go/internal/abi"
	"github.com/yagura/yagura/sdk/go/internal/wittest"
	"github.com/yagura/yagura/sdk/go/plugin"
)

func TestAReportIsReadAsTheContractLaysItOut(t *testing.T) {
	contract := wittest.Load(t)
	alert := wittest.Record{
		"state": "withdrawn", "id": "a1", "rule": "r", "title": "櫓", "severity": "high", "key": "k",
		"window-start": int64(-1), "first-time": int64(2), "last-time": int64(3), "count": int64(1 << 40),
		"observables": []any{[]any{"ip", "10.0.0.1"}, []any{"host", ""}},
		"context":     []any{[]any{"user", "alice"}}, "tags": []any{"x", "y"},
	}
	read := plugin.Alert{
		State: plugin.Withdrawn, ID: "a1", Rule: "r", Title: "櫓", Severity: plugin.High, Key: "k",
		WindowStart: -1, FirstTime: 2, LastTime: 3, Count: 1 << 40,
		Observables: []plugin.Observable{{Kind: plugin.IP, Value: "10.0.0.1"}, {Kind: plugin.Host}},
		Context:     []plugin.Fact{{Name: "user", Value: "alice"}}, Tags: []string{"x", "y"},
	}
	report := wittest.Record{
		"id": "i1", "revision": int64(7), "status": "closed", "title": "title", "severity": "info", "text": "a\nb",
		"time": int64(1 << 50), "alerts": []any{alert, alert}, "alert-count": int64(1 << 33),
		"attributes": []any{wittest.Record{"name": "n", "value": "v", "source": "s"}},
		"assessments": []any{
			[]any{"p", wittest.Record{"severity": "low", "verdict": "malicious", "reason": "why"}},
			[]any{"q", wittest.Record{"severity": "critical", "verdict": "undecided", "reason": ""}},
		},
		"earlier": "41", "uncertain": true,
	}
	earlier := "41"
	wanted := &plugin.Report{
		ID: "i1", Revision: 7, Status: plugin.Closed, Title: "title", Severity: plugin.Info, Text: "a\nb", Time: 1 << 50,
		Alerts: []plugin.Alert{read, read}, AlertCount: 1 << 33,
		Attributes: plugin.Attributes{{Name: "n", Value: "v", Source: "s"}},
		Assessments: []plugin.HeldAssessment{
			{Reviewer: "p", Assessment: plugin.Assessment{Severity: plugin.Low, Verdict: plugin.Malicious, Reason: "why"}},
			{Reviewer: "q", Assessment: plugin.Assessment{Severity: plugin.Critical}},
		},
		Earlier: &earlier, Uncertain: true,
	}
	if found := lifted(t, contract, report); !reflect.DeepEqual(found, wanted) {
		t.Errorf("found %+v", found)
	}
	report["earlier"], report["uncertain"], report["alerts"], report["assessments"] = nil, false, []any{}, []any{}
	wanted.Earlier, wanted.Uncertain, wanted.Alerts, wanted.Assessments = nil, false, nil, nil
	if found := lifted(t, contract, report); !reflect.DeepEqual(found, wanted) {
		t.Errorf("found %+v", found)
	}
}

func lifted(t *testing.T, contract *wittest.Contract, report wittest.Record) *plugin.Report {
	t.Helper()
	if size, _ := contract.Layout("report"); size != reportSize {
		t.Errorf("a report has %d bytes, not %d", size, reportSize)
	}
	memory, at := contract.Write("report", report)
	read := func(address, bytes uint32) []byte { return memory[address : address+bytes] }
	return readReport(read, memory[at:at+reportSize])
}

func TestAReceiptIsLaidOutAsTheContractSays(t *testing.T) {
	contract := wittest.Load(t)
	for wanted, answer := range map[wittest.Case]*abi.Answer{
		{Name: "ok", Value: "C1:17"}: answerReceipt("C1:17", nil),
		{Name: "ok", Value: ""}:      answerReceipt("", nil),
		{Name: "err", Value: wittest.Case{Name: "retry", Value: "later"}}: answerReceipt(
			"", &abi.Error{Kind: abi.Retry, Message: "later"}),
	} {
		const base = 0x1000
		found := contract.Read("result<string, plugin-error>", answer.Finish(base), base, base)
		if !reflect.DeepEqual(found, wanted) {
			t.Errorf("found %+v, not %+v", found, wanted)
		}
	}
}
