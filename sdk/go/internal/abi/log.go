package abi

import (
	"strings"
	"unicode/utf8"
)

// Log writes a line to the plugin's log.
func Log(level Level, message string) {
	writeLog(level, ValidText(message))
}

// ValidText returns the text with the replacement character for bytes that are no UTF-8: the host takes nothing but UTF-8,
// and Go does not promise it.
func ValidText(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	return strings.ToValidUTF8(text, string(utf8.RuneError))
}
