package reviewing

import "github.com/yagura/yagura/sdk/go/internal/abi"

// served is the instance's plugin: a component instance is opened once.
var served Plugin

func plugged() Plugin {
	if served == nil {
		served = New()
	}
	return served
}

//go:wasmexport yagura:plugin/reviewing@0.1.0#open
func exportOpen(config, configBytes uint32) uint32 {
	text := string(abi.GuestMemory(config, configBytes))
	return abi.Return(abi.NewResult(abi.ResultSize, plugged().Open(text)))
}

//go:wasmexport cabi_post_yagura:plugin/reviewing@0.1.0#open
func afterOpen(uint32) {
	abi.Returned()
}

//go:wasmexport yagura:plugin/reviewing@0.1.0#review
func exportReview(parameters uint32) uint32 {
	alert, attributes := readParameters(abi.GuestMemory, abi.GuestMemory(parameters, parametersSize))
	return abi.Return(answerAssessment(plugged().Review(alert, attributes)))
}

//go:wasmexport cabi_post_yagura:plugin/reviewing@0.1.0#review
func afterReview(uint32) {
	abi.Returned()
}
