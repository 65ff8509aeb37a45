package searching

import (
	"reflect"
	"testing"

	"github.com/yagura/yagura/sdk/go/internal/abi"
	"github.com/yagura/yagura/sdk/go/internal/wittest"
)

func TestEventsAreReadAsTheContractLaysThemOut(t *testing.T) {
	contract := wittest.Load(t)
	const of = "result<events, plugin-error>"
	if size, _ := contract.Layout(of); size != answerSize {
		t.Errorf("an answer has %d bytes, not %d", size, answerSize)
	}
	lifted := func(value wittest.Case) (*Events, *abi.Error) {
		memory, at := contract.Write(of, value)
		read := func(address, bytes uint32) []byte { return memory[address : address+bytes] }
		return readAnswer(read, memory[at:at+answerSize])
	}
	column := wittest.Record{"validity": []any{int64(1)}, "offsets": []any{}, "values": []any{int64(2), int64(3)}}
	events, failure := lifted(wittest.Case{Name: "ok", Value: wittest.Record{
		"schema":    []any{wittest.Record{"name": "on", "data-type": "boolean", "nullable": true}},
		"batch":     wittest.Record{"rows": int64(9), "columns": []any{column}},
		"truncated": true,
	}})
	wanted := &Events{
		Schema:    []abi.Field{{Name: "on", DataType: abi.Boolean, Nullable: true}},
		Batch:     abi.Batch{Rows: 9, Columns: []abi.Column{{Validity: []byte{1}, Values: []byte{2, 3}}}},
		Truncated: true,
	}
	if failure != nil || !reflect.DeepEqual(events, wanted) {
		t.Errorf("found %+v, %+v", events, failure)
	}
	_, failure = lifted(wittest.Case{Name: "err", Value: wittest.Case{Name: "data", Value: "no"}})
	if !reflect.DeepEqual(failure, &abi.Error{Kind: abi.Data, Message: "no"}) {
		t.Errorf("found %+v", failure)
	}
}
