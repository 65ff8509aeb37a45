package main

import (
	"errors"
	"testing"

	"github.com/yagura/yagura/sdk/go/plugin"
	"github.com/yagura/yagura/sdk/go/yaguratest"
)

func TestAReportIsPostedAndSentAgainAfterAnErrorOfTheServer(t *testing.T) {
	server := yaguratest.NewServer(t).
		Answer("POST https://hooks.example.com/yagura", yaguratest.Reply{Status: 204}, yaguratest.Reply{Status: 503})
	config := `{"url": "https://hooks.example.com/yagura"}`
	if receipt, err := yaguratest.Notify(config, yaguratest.NewReport()); err != nil || receipt != "i1" {
		t.Errorf("%q, %v", receipt, err)
	}
	if key := server.Requests()[0].Header("Idempotency-Key"); key != "i1-1" {
		t.Errorf("the key is %q", key)
	}
	var retry plugin.RetryError
	if _, err := yaguratest.Notify(config, yaguratest.NewReport()); !errors.As(err, &retry) {
		t.Errorf("%T %v", err, err)
	}
}
