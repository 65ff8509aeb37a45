package abi

//go:wasmimport yagura:plugin/log@0.1.0 log
func hostLog(level uint32, message string)

func writeLog(level Level, message string) {
	hostLog(uint32(level), message)
}
