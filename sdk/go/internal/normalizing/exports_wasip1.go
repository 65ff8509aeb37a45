package normalizing

import "github.com/yagura/yagura/sdk/go/internal/abi"

// served is the instance's plugin: a component instance is opened once.
var served Plugin

func plugged() Plugin {
	if served == nil {
		served = New()
	}
	return served
}

//go:wasmexport yagura:plugin/normalizing@0.1.0#open
func exportOpen(config, configBytes uint32) uint32 {
	text := string(abi.GuestMemory(config, configBytes))
	return abi.Return(abi.NewResult(abi.ResultSize, plugged().Open(text)))
}

//go:wasmexport cabi_post_yagura:plugin/normalizing@0.1.0#open
func afterOpen(uint32) {
	abi.Returned()
}

// The three lists of a column come as parameters of their own.
//
//go:wasmexport yagura:plugin/normalizing@0.1.0#normalize
func exportNormalize(_, _, offsets, offsetBytes, values, valueBytes uint32) uint32 {
	memory := abi.Memory(abi.GuestMemory)
	records := abi.Column{
		Offsets: memory.List(offsets, offsetBytes, 1),
		Values:  memory.List(values, valueBytes, 1),
	}
	return abi.Return(answerNormalized(plugged().Normalize(&records)))
}

//go:wasmexport cabi_post_yagura:plugin/normalizing@0.1.0#normalize
func afterNormalize(uint32) {
	abi.Returned()
}
