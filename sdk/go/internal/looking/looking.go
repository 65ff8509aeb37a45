// Package looking is the contract's interface `lookup`, in Go types: in a component the host answers, natively what a unit
// test puts in its place.
package looking

import "github.com/yagura/yagura/sdk/go/internal/abi"

// answerSize is the size of a `result<option<string>, plugin-error>`.
const answerSize = 16

// readAnswer lifts a `result<option<string>, plugin-error>`.
func readAnswer(memory abi.Memory, area []byte) (row string, found bool, failure *abi.Error) {
	if failure = memory.Error(area); failure != nil || area[4] == 0 {
		return "", false, failure
	}
	return memory.Text(area, 8), true, nil
}
