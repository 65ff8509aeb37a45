package main

import (
	"testing"

	"github.com/yagura/yagura/sdk/go/plugin"
	"github.com/yagura/yagura/sdk/go/yaguratest"
)

func TestAScannerOfOurOwnIsBenign(t *testing.T) {
	config := `{"scanners": ["192.0.2.10"]}`
	alert := yaguratest.NewAlert()
	alert.Observables = []plugin.Observable{{Kind: plugin.IP, Value: "192.0.2.10"}}
	if opinion, err := yaguratest.Review(config, alert); err != nil || opinion == nil || opinion.Verdict != plugin.Benign {
		t.Errorf("%+v, %v", opinion, err)
	}
	if opinion, err := yaguratest.Review(config, yaguratest.NewAlert()); err != nil || opinion != nil {
		t.Errorf("%+v, %v", opinion, err)
	}
}
