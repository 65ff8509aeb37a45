package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/yagura/yagura/sdk/go/plugin"
	"github.com/yagura/yagura/sdk/go/yaguratest"
)

const place = "POST https://hooks.example.com/yagura"

func TestAReportIsPostedOnceARevisionAndSigned(t *testing.T) {
	server := yaguratest.NewServer(t).Answer(place, yaguratest.Reply{Status: 204})
	report := yaguratest.NewReport()
	report.Title = "Login by {{secret:webhook}}"
	receipt, err := yaguratest.Notify(`{"url": "https://hooks.example.com/yagura", "signed": true}`, report)
	if err != nil || receipt != "i1" {
		t.Fatalf("%q, %v", receipt, err)
	}
	request := server.Requests()[0]
	if request.Header("Idempotency-Key") != "i1-1" || request.Sign == nil || request.Sign.Secret != "webhook" {
		t.Errorf("sent %+v", request)
	}
	if strings.Contains(request.Body, "{{") {
		t.Errorf("an attacker's placeholder is sent: %s", request.Body)
	}
	var body struct{ Title, Severity, Time string }
	if err := json.Unmarshal([]byte(request.Body), &body); err != nil || body.Title != report.Title ||
		body.Severity != "medium" || body.Time != "2026-02-25T06:14:21.000000Z" {
		t.Errorf("sent %+v, %v", body, err)
	}
}

func TestAServerThatIsIllIsAskedAgainAndOneThatRefusesIsNot(t *testing.T) {
	server := yaguratest.NewServer(t)
	config := `{"url": "https://hooks.example.com/yagura"}`
	server.Answer(place, yaguratest.Reply{Status: 500, Body: "out of\norder"})
	_, err := yaguratest.Notify(config, yaguratest.NewReport())
	var retry plugin.RetryError
	if !errors.As(err, &retry) || err.Error() != place+": status 500: out of order" {
		t.Errorf("%T %v", err, err)
	}
	server.Answer(place, yaguratest.Reply{Status: 410})
	var never plugin.DataError
	if _, err = yaguratest.Notify(config, yaguratest.NewReport()); !errors.As(err, &never) {
		t.Errorf("%T %v", err, err)
	}
	if request := server.Requests()[0]; request.Sign != nil {
		t.Error("the report is signed")
	}
}
