//go:build !wasip1

package abi

import (
	"fmt"
	"os"
)

// writeLog writes to standard error: unit tests have no host that would keep the log.
func writeLog(level Level, message string) {
	fmt.Fprintf(os.Stderr, "%s: %s\n", level, message)
}
