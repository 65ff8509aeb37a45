package plugin

import "github.com/yagura/yagura/sdk/go/internal/abi"

// Log is the plugin's log, with limits on lines and bytes per call. Natively it is standard error.
//
//	plugin.Log.Info("three roles are trusted")
var Log Logger

// Logger writes to the plugin's log; see [Log].
type Logger struct{}

// Debug logs a message for the plugin's author.
func (Logger) Debug(message string) { abi.Log(abi.LevelDebug, message) }

// Info logs a message that an operator may want to read.
func (Logger) Info(message string) { abi.Log(abi.LevelInfo, message) }

// Warn logs a message that an operator should read.
func (Logger) Warn(message string) { abi.Log(abi.LevelWarn, message) }

// Error logs a failure.
func (Logger) Error(message string) { abi.Log(abi.LevelError, message) }
