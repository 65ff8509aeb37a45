package main

import (
	"testing"

	"github.com/yagura/yagura/sdk/go/yaguratest"
)

func TestOnlyRootIsFound(t *testing.T) {
	events := yaguratest.NewEvents().
		Text("user_type", "Root", "IAMUser").
		Text("additional_event_data.MFAUsed", nil, "No")
	findings, err := yaguratest.Evaluate("root-login", events)
	if err != nil {
		t.Fatal(err)
	}
	if len(findings) != 1 || findings[0].Rows[0] != 0 {
		t.Fatalf("findings: %+v", findings)
	}
}
