//go:build !wasip1

package looking

import "github.com/yagura/yagura/sdk/go/internal/abi"

// Answering answers in unit tests; nil where a test has no tables.
var Answering func(table, key string) (row string, found bool, failure *abi.Error)

// Get returns the row under a key as JSON text.
func Get(table, key string) (row string, found bool, failure *abi.Error) {
	if Answering == nil {
		return "", false, &abi.Error{
			Kind: abi.Config, Message: "a unit test has no lookup tables: give it some by yaguratest.NewLookups",
		}
	}
	return Answering(table, key)
}
