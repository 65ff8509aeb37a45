package notifying

import "github.com/yagura/yagura/sdk/go/internal/abi"

// served is the instance's plugin: a component instance is opened once.
var served Plugin

func plugged() Plugin {
	if served == nil {
		served = New()
	}
	return served
}

//go:wasmexport yagura:plugin/notifying@0.1.0#open
func exportOpen(config, configBytes uint32) uint32 {
	text := string(abi.GuestMemory(config, configBytes))
	return abi.Return(abi.NewResult(abi.ResultSize, plugged().Open(text)))
}

//go:wasmexport cabi_post_yagura:plugin/notifying@0.1.0#open
func afterOpen(uint32) {
	abi.Returned()
}

// A report has too many fields for parameters: they stand in memory.
//
//go:wasmexport yagura:plugin/notifying@0.1.0#notify
func exportNotify(parameters uint32) uint32 {
	report := readReport(abi.GuestMemory, abi.GuestMemory(parameters, reportSize))
	return abi.Return(answerReceipt(plugged().Notify(report)))
}

//go:wasmexport cabi_post_yagura:plugin/notifying@0.1.0#notify
func afterNotify(uint32) {
	abi.Returned()
}
