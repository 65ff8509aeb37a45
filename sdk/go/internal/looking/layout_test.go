package looking

import (
	"testing"

	"github.com/yagura/yagura/sdk/go/internal/wittest"
)

func TestRowsAreReadAsTheContractLaysThemOut(t *testing.T) {
	contract := wittest.Load(t)
	const of = "result<option<string>, plugin-error>"
	if size, _ := contract.Layout(of); size != answerSize {
		t.Errorf("an answer has %d bytes, not %d", size, answerSize)
	}
	for _, test := range []struct {
		said           wittest.Case
		row            string
		found, failing bool
	}{
		{wittest.Case{Name: "ok", Value: "{}"}, "{}", true, false},
		{wittest.Case{Name: "ok"}, "", false, false},
		{wittest.Case{Name: "err", Value: wittest.Case{Name: "config", Value: "no"}}, "", false, true},
	} {
		memory, at := contract.Write(of, test.said)
		read := func(address, bytes uint32) []byte { return memory[address : address+bytes] }
		row, found, failure := readAnswer(read, memory[at:at+answerSize])
		if row != test.row || found != test.found || (failure != nil) != test.failing {
			t.Errorf("%+v is read as %q, %t, %v", test.said, row, found, failure)
		}
	}
}
