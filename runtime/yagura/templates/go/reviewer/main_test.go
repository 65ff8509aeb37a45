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
	if assessment, err := yaguratest.Review(config, alert); err != nil || assessment == nil || assessment.Verdict != plugin.Benign {
		t.Errorf("%+v, %v", assessment, err)
	}
	if assessment, err := yaguratest.Review(config, yaguratest.NewAlert()); err != nil || assessment != nil {
		t.Errorf("%+v, %v", assessment, err)
	}
}
