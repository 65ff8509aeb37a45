package http_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/yagura/yagura/sdk/go/http"
	"github.com/yagura/yagura/sdk/go/plugin"
	"github.com/yagura/yagura/sdk/go/yaguratest"
)

const place = "https://a.example/x"

func TestNoTextInJSONHoldsAPlaceholderButThoseMeantTo(t *testing.T) {
	for _, text := range []string{
		"{{secret:a}}", "{{{secret:a}}}", "{{{{", `\u007b\u007bsecret:a}}`, `\{{secret:a}}`, "{\\u007b", "<&>",
	} {
		server := yaguratest.NewServer(t).Answer("POST "+place, yaguratest.Reply{})
		value := map[string]any{
			text: []string{text}, "key": http.Placeholder(http.Secret("b")), "more": http.Placeholder("x {{secret:c}}"),
		}
		if _, err := http.Post(place).JSON(value).Send(); err != nil {
			t.Fatal(err)
		}
		body := server.Requests()[0].Body
		if strings.Count(body, "{{") != 2 || !strings.Contains(body, `"{{secret:b}}"`) {
			t.Errorf("%s is sent as %s", text, body)
		}
		var found map[string]any
		wanted := map[string]any{text: []any{text}, "key": "{{secret:b}}", "more": "x {{secret:c}}"}
		if err := json.Unmarshal([]byte(body), &found); err != nil || !reflect.DeepEqual(found, wanted) {
			t.Errorf("%s is sent as %s, %v", text, body, err)
		}
		if strings.Contains(http.Encode(text), "{") || strings.Contains(http.Plain(text), "{{secret:") {
			t.Errorf("%s becomes %s and %s", text, http.Encode(text), http.Plain(text))
		}
	}
}

func TestRequestsArePutTogetherAndAnswersTakenApart(t *testing.T) {
	server := yaguratest.NewServer(t).Answer("PATCH "+place+"?q=a%20%2F%26&key={{secret:k}}", yaguratest.Reply{
		Status: 201, Body: `{"id": 7}`, Headers: []yaguratest.Pair{{"X-Id", "7"}},
	})
	signature := http.Signature{Header: "X-Signature", Secret: "k", Prefix: "sha256="}
	response, err := http.Patch(place).
		Query("q", "a /&").
		QuerySecret("key", "k").
		Header("Authorization", "Basic "+http.Basic("me", "k")).
		Body("text/plain", []byte("hi")).
		Sign(signature).
		Send()
	if err != nil {
		t.Fatal(err)
	}
	var body struct{ ID int }
	if err := response.JSON(&body); err != nil || body.ID != 7 || response.Header("x-ID") != "7" {
		t.Errorf("found %+v, %v", response, err)
	}
	request := server.Requests()[0]
	if request.Header("authorization") != "Basic {{basic:me:k}}" || request.Header("content-type") != "text/plain" ||
		request.Body != "hi" || *request.Sign != signature {
		t.Errorf("sent %+v", request)
	}
	if _, err := http.Post(place).JSON(func() {}).Send(); !strings.Contains(err.Error(), "POST "+place+" cannot be encoded") {
		t.Errorf("a function is sent: %v", err)
	}
}

func TestStatusesAndFailuresAreErrorsOfTheRightKind(t *testing.T) {
	var denied *http.Error
	if _, err := http.Get(place).Send(); !errors.As(err, &denied) || denied.Kind != http.Denied {
		t.Errorf("without a server: %v", err)
	}
	for _, test := range []struct {
		reply  yaguratest.Reply
		wanted error
	}{
		{yaguratest.Reply{Status: 503, Body: "out\nof order"}, plugin.RetryError("status 503: out of order")},
		{yaguratest.Reply{Status: 429}, plugin.RetryError("status 429: no text")},
		{yaguratest.Reply{Status: 404}, plugin.DataError("status 404: no text")},
		{yaguratest.Reply{Body: "<html>"}, plugin.RetryError("the answer is not the JSON expected: invalid character '<' " +
			"looking for beginning of value: <html>")},
		{yaguratest.Reply{Failure: &http.Error{Kind: http.Timeout}}, plugin.RetryError("no answer in time")},
		{yaguratest.Reply{Failure: &http.Error{Kind: http.Denied, Message: "grant it"}}, plugin.ConfigError("denied: grant it")},
		{yaguratest.Reply{Failure: &http.Error{Kind: http.TooLarge}}, plugin.DataError("too large")},
	} {
		yaguratest.NewServer(t).Answer("GET "+place+"?key={{secret:k}}", test.reply)
		response, err := http.Get(place).QuerySecret("key", "k").Send()
		if err == nil {
			err = response.JSON(new(struct{}))
		}
		if err == nil || err.Error() != "GET "+place+": "+test.wanted.Error() {
			t.Errorf("%+v gives %v", test.reply, err)
		}
		var found *http.Error
		if errors.As(err, &found) != (test.reply.Failure != nil) {
			t.Errorf("%+v gives %T", test.reply, err)
		}
		if found != nil {
			err = errors.Unwrap(found)
		}
		if reflect.TypeOf(err) != reflect.TypeOf(test.wanted) {
			t.Errorf("%+v gives %T", test.reply, err)
		}
	}
}
