package yagura

import "github.com/yagura/yagura/sdk/go/plugin"

// Log is the plugin's log, with limits on lines and bytes per call. Natively it is standard error.
//
//	yagura.Log.Info("three roles are trusted")
var Log Logger

// Logger writes to the plugin's log; see [Log].
type Logger = plugin.Logger
