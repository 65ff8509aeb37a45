package exchange

import (
	"reflect"
	"testing"

	"github.com/yagura/yagura/sdk/go/internal/wittest"
)

func TestARequestIsLaidOutAsTheContractSays(t *testing.T) {
	contract := wittest.Load(t)
	const base = 0x1000
	if size, _ := contract.Layout("request"); size != requestSize {
		t.Errorf("a request has %d bytes, not %d", size, requestSize)
	}
	request := &Request{
		Method: "POST", URL: "https://a.example/櫓", Headers: [][2]string{{"A", "b"}, {"C", ""}}, Body: []byte{0, 255},
	}
	wanted := wittest.Record{
		"method": "POST", "url": "https://a.example/櫓", "headers": []any{[]any{"A", "b"}, []any{"C", ""}},
		"body": []any{int64(0), int64(255)}, "sign": nil,
	}
	if found := contract.Read("request", putRequest(request).Finish(base), base, base); !reflect.DeepEqual(found, wanted) {
		t.Errorf("found %+v", found)
	}
	request.Sign = &Signature{Header: "h", Secret: "s", Prefix: "p", Before: "b"}
	wanted["sign"] = wittest.Record{"header": "h", "secret": "s", "prefix": "p", "before": "b"}
	if found := contract.Read("request", putRequest(request).Finish(base), base, base); !reflect.DeepEqual(found, wanted) {
		t.Errorf("found %+v", found)
	}
}

func TestAnswersAreReadAsTheContractLaysThemOut(t *testing.T) {
	contract := wittest.Load(t)
	const of = "result<response, http-error>"
	if size, _ := contract.Layout(of); size != answerSize {
		t.Errorf("an answer has %d bytes, not %d", size, answerSize)
	}
	lifted := func(value wittest.Case) (*Response, *Error) {
		memory, at := contract.Write(of, value)
		read := func(address, bytes uint32) []byte { return memory[address : address+bytes] }
		return readAnswer(read, memory[at:at+answerSize])
	}
	response, failure := lifted(wittest.Case{Name: "ok", Value: wittest.Record{
		"status": int64(429), "headers": []any{[]any{"retry-after", "7"}}, "body": []any{int64('h'), int64('i')},
	}})
	wanted := &Response{Status: 429, Headers: [][2]string{{"retry-after", "7"}}, Body: []byte("hi")}
	if failure != nil || !reflect.DeepEqual(response, wanted) {
		t.Errorf("found %+v, %+v", response, failure)
	}
	for kind, name := range []string{"denied", "limited", "timeout", "too-large", "failed"} {
		said := wittest.Case{Name: name}
		wanted := &Error{Kind: Kind(kind)}
		if name != "timeout" && name != "too-large" {
			said.Value, wanted.Message = "why", "why"
		}
		if _, failure := lifted(wittest.Case{Name: "err", Value: said}); !reflect.DeepEqual(failure, wanted) {
			t.Errorf("%s is %+v", name, failure)
		}
	}
}
