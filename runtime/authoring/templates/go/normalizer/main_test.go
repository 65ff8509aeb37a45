package main

import (
	"strings"
	"testing"

	"github.com/yagura/yagura/sdk/go/yaguratest"
)

func TestAFieldMayHoldAnything(t *testing.T) {
	events, err := yaguratest.Parse("", []byte("2026-02-03T04:05:06Z 5:lobby,4:open,3:a,b,1:r,"))
	wanted := `{"time":"2026-02-03T04:05:06Z","door":"lobby","what":"open","who":"a,b","reader":"r"}`
	if err != nil || len(events) != 1 || events[0] != wanted {
		t.Errorf("%q, %v", events, err)
	}
}

func TestALineThatIsCutIsMalformed(t *testing.T) {
	_, err := yaguratest.Parse("", []byte("2026-02-03T04:05:06Z 5:lob"))
	if err == nil || !strings.Contains(err.Error(), "ends too early") {
		t.Errorf("%v", err)
	}
}
