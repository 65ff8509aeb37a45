package enrichment

import (
	"github.com/yagura/yagura/sdk/go/internal/abi"
	"github.com/yagura/yagura/sdk/go/internal/alerts"
)

// served is the instance's plugin: a component instance is opened once.
var served Plugin

func plugged() Plugin {
	if served == nil {
		served = New()
	}
	return served
}

//go:wasmexport yagura:plugin/enrichment@0.1.0#open
func exportOpen(config, configBytes uint32) uint32 {
	text := string(abi.GuestMemory(config, configBytes))
	return abi.Return(abi.NewResult(abi.ResultSize, plugged().Open(text)))
}

//go:wasmexport cabi_post_yagura:plugin/enrichment@0.1.0#open
func afterOpen(uint32) {
	abi.Returned()
}

// An alert has too many fields for parameters: they stand in memory.
//
//go:wasmexport yagura:plugin/enrichment@0.1.0#enrich
func exportEnrich(parameters uint32) uint32 {
	alert := alerts.Read(abi.GuestMemory, abi.GuestMemory(parameters, alerts.AlertSize))
	return abi.Return(answerEnriched(plugged().Enrich(&alert)))
}

//go:wasmexport cabi_post_yagura:plugin/enrichment@0.1.0#enrich
func afterEnrich(uint32) {
	abi.Returned()
}
