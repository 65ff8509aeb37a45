package plugin

import "github.com/yagura/yagura/sdk/go/internal/abi"

// Log is the plugin's log, which the host keeps, bounded in lines and bytes a call. Natively it is standard error.
//
//	plugin.Log.Info("three roles are trusted")
var Log Logger

// Logger writes to the plugin's log; see [Log].
type Logger struct{}

// Debug logs what helps only the plugin's author.
func (Logger) Debug(message string) { abi.Log(abi.LevelDebug, message) }

// Info logs what an operator may want to know.
func (Logger) Info(message string) { abi.Log(abi.LevelInfo, message) }

// Warn logs what an operator should look at.
func (Logger) Warn(message string) { abi.Log(abi.LevelWarn, message) }

// Error logs what went wrong.
func (Logger) Error(message string) { abi.Log(abi.LevelError, message) }
