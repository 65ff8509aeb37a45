package abi

import (
	"strings"
	"unicode/utf8"
)

// Log writes a line to the plugin's log.
func Log(level Level, message string) {
	if !utf8.ValidString(message) {
		// The host takes nothing but UTF-8, and Go does not promise it.
		message = strings.ToValidUTF8(message, string(utf8.RuneError))
	}
	writeLog(level, message)
}
