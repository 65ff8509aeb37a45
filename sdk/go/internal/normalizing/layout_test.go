package normalizing

import (
	"reflect"
	"testing"

	"github.com/yagura/yagura/sdk/go/internal/abi"
	"github.com/yagura/yagura/sdk/go/internal/wittest"
)

func TestWhatWasParsedIsLaidOutAsTheContractSays(t *testing.T) {
	contract := wittest.Load(t)
	const base, of = 0x1000, "result<normalized, plugin-error>"
	if size, _ := contract.Layout(of); size != answerSize {
		t.Errorf("the answer has %d bytes, not %d", size, answerSize)
	}
	if size, _ := contract.Layout("tuple<u32, string>"); size != malformedSize {
		t.Errorf("a malformed record has %d bytes, not %d", size, malformedSize)
	}
	bytes := func(of ...byte) []any {
		list := []any{}
		for _, value := range of {
			list = append(list, int64(value))
		}
		return list
	}
	normalized := &Normalized{
		Records: []uint32{1, 1}, Ends: []uint32{2}, Text: []byte("{}"), Malformed: []Malformed{{1, "bad \xff"}},
	}
	wanted := wittest.Case{Name: "ok", Value: wittest.Record{
		"records": bytes(0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0),
		"events": wittest.Record{
			"validity": bytes(), "offsets": bytes(0, 0, 0, 0, 2, 0, 0, 0), "values": bytes('{', '}'),
		},
		"malformed": []any{[]any{int64(1), "bad \uFFFD"}},
	}}
	found := contract.Read(of, answerNormalized(normalized, nil).Finish(base), base, base)
	if !reflect.DeepEqual(found, wanted) {
		t.Errorf("found %+v", found)
	}
	failure := &abi.Error{Kind: abi.Data, Message: "no"}
	found = contract.Read(of, answerNormalized(nil, failure).Finish(base), base, base)
	if !reflect.DeepEqual(found, wittest.Case{Name: "err", Value: wittest.Case{Name: "data", Value: "no"}}) {
		t.Errorf("found %+v", found)
	}
}
