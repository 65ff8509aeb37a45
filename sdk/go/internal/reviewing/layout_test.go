package reviewing

import (
	"reflect"
	"testing"

	"github.com/yagura/yagura/sdk/go/internal/wittest"
	"github.com/yagura/yagura/sdk/go/plugin"
)

func TestWhatIsAskedIsReadAndAnAssessmentLaidOutAsTheContractSays(t *testing.T) {
	contract := wittest.Load(t)
	const of = "tuple<alert, list<attribute>>"
	if size, _ := contract.Layout(of); size != parametersSize {
		t.Errorf("the parameters have %d bytes, not %d", size, parametersSize)
	}
	memory, at := contract.Write(of, []any{
		wittest.Record{
			"state": "final", "id": "a1", "rule": "r", "title": "t", "severity": "medium", "key": "",
			"window-start": int64(1), "first-time": int64(2), "last-time": int64(3), "count": int64(4),
			"observables": []any{}, "context": []any{}, "tags": []any{},
		},
		[]any{wittest.Record{"name": "n", "value": "v", "source": "s"}},
	})
	alert, attributes := readParameters(
		func(address, bytes uint32) []byte { return memory[address : address+bytes] }, memory[at:at+parametersSize])
	if !reflect.DeepEqual(alert, &plugin.Alert{
		State: plugin.Final, ID: "a1", Rule: "r", Title: "t", Severity: plugin.Medium,
		WindowStart: 1, FirstTime: 2, LastTime: 3, Count: 4,
	}) {
		t.Errorf("found %+v", alert)
	}
	if value, found := attributes.Value("n"); !found || value != "v" || len(attributes) != 1 {
		t.Errorf("found %+v", attributes)
	}

	const base, answer = 0x1000, "result<option<assessment>, plugin-error>"
	if size, _ := contract.Layout(answer); size != answerSize {
		t.Errorf("the answer has %d bytes, not %d", size, answerSize)
	}
	assessment := &plugin.Assessment{Severity: plugin.Critical, Verdict: plugin.Suspicious, Reason: "櫓"}
	for _, test := range []struct {
		said   *plugin.Assessment
		wanted any
	}{
		{assessment, wittest.Record{"severity": "critical", "verdict": "suspicious", "reason": "櫓"}},
		{nil, nil},
	} {
		found := contract.Read(answer, answerAssessment(test.said, nil).Finish(base), base, base)
		if !reflect.DeepEqual(found, wittest.Case{Name: "ok", Value: test.wanted}) {
			t.Errorf("found %+v", found)
		}
	}
}
