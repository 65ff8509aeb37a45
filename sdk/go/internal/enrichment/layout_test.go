package enrichment

import (
	"reflect"
	"testing"

	"github.com/yagura/yagura/sdk/go/internal/abi"
	"github.com/yagura/yagura/sdk/go/internal/wittest"
	"github.com/yagura/yagura/sdk/go/plugin"
)

func TestWhatWasFoundIsLaidOutAsTheContractSays(t *testing.T) {
	contract := wittest.Load(t)
	const base, of = 0x1000, "result<enriched, plugin-error>"
	if size, _ := contract.Layout(of); size != answerSize {
		t.Errorf("the answer has %d bytes, not %d", size, answerSize)
	}
	enriched := Enriched{
		Attributes:  []plugin.Attribute{{Name: "owner", Value: "櫓", Source: "assets"}, {Name: "n", Value: "bad \xff"}},
		Observables: []plugin.Observable{{Kind: plugin.Host, Value: "web-1"}},
	}
	wanted := wittest.Case{Name: "ok", Value: wittest.Record{
		"attributes": []any{
			wittest.Record{"name": "owner", "value": "櫓", "source": "assets"},
			wittest.Record{"name": "n", "value": "bad \uFFFD", "source": ""},
		},
		"observables": []any{[]any{"host", "web-1"}},
	}}
	found := contract.Read(of, answerEnriched(enriched, nil).Finish(base), base, base)
	if !reflect.DeepEqual(found, wanted) {
		t.Errorf("found %+v", found)
	}
	failure := &abi.Error{Kind: abi.Config, Message: "no"}
	found = contract.Read(of, answerEnriched(enriched, failure).Finish(base), base, base)
	if !reflect.DeepEqual(found, wittest.Case{Name: "err", Value: wittest.Case{Name: "config", Value: "no"}}) {
		t.Errorf("found %+v", found)
	}
}
