package detection

import "github.com/yagura/yagura/sdk/go/internal/abi"

// served is the instance's plugin: a component instance is opened once.
var served Plugin

func plugin() Plugin {
	if served == nil {
		served = New()
	}
	return served
}

//go:wasmexport yagura:plugin/detection@0.1.0#rules
func exportRules() uint32 {
	return abi.Return(answerRules(plugin().Rules()))
}

//go:wasmexport cabi_post_yagura:plugin/detection@0.1.0#rules
func afterRules(uint32) {
	abi.Returned()
}

//go:wasmexport yagura:plugin/detection@0.1.0#open
func exportOpen(config, configBytes, rules, ruleCount uint32) uint32 {
	text := string(abi.GuestMemory(config, configBytes))
	return abi.Return(answerNothing(plugin().Open(text, readRules(abi.GuestMemory, rules, ruleCount))))
}

//go:wasmexport cabi_post_yagura:plugin/detection@0.1.0#open
func afterOpen(uint32) {
	abi.Returned()
}

//go:wasmexport yagura:plugin/detection@0.1.0#on-batch
func exportOnBatch(rule, rows, columns, columnCount uint32) uint32 {
	memory := abi.Memory(abi.GuestMemory)
	batch := abi.Batch{Rows: rows, Columns: memory.Columns(columns, columnCount)}
	return abi.Return(answerFindings(plugin().OnBatch(rule, &batch)))
}

//go:wasmexport cabi_post_yagura:plugin/detection@0.1.0#on-batch
func afterOnBatch(uint32) {
	abi.Returned()
}

//go:wasmexport yagura:plugin/detection@0.1.0#on-watermark
func exportOnWatermark(time int64) uint32 {
	return abi.Return(answerRuleFindings(plugin().OnWatermark(time)))
}

//go:wasmexport cabi_post_yagura:plugin/detection@0.1.0#on-watermark
func afterOnWatermark(uint32) {
	abi.Returned()
}

//go:wasmexport yagura:plugin/detection@0.1.0#snapshot
func exportSnapshot() uint32 {
	return abi.Return(answerBytes(plugin().Snapshot()))
}

//go:wasmexport cabi_post_yagura:plugin/detection@0.1.0#snapshot
func afterSnapshot(uint32) {
	abi.Returned()
}

//go:wasmexport yagura:plugin/detection@0.1.0#restore
func exportRestore(state, stateBytes uint32) uint32 {
	return abi.Return(answerNothing(plugin().Restore(abi.GuestMemory(state, stateBytes))))
}

//go:wasmexport cabi_post_yagura:plugin/detection@0.1.0#restore
func afterRestore(uint32) {
	abi.Returned()
}
