package abi

import (
	"fmt"
	"path"
	"runtime"
	"runtime/debug"
	"strings"
)

// module is the SDK's own: its frames are not where an author looks for a mistake.
const module = "github.com/yagura/yagura/sdk/go"

// Panicked describes and logs what [recover] returned: `panic: MESSAGE (FILE:LINE in FUNCTION)`, with the place in the
// author's code. It must be called by the deferred function itself, while the stack of the panic is still there.
func Panicked(value any) string {
	message := "panic: " + describe(value)
	if place := authorPlace(); place != "" {
		message += " (" + place + ")"
	}
	Log(LevelError, message)
	return message
}

// describe says what a panic was called with, as the Go runtime does.
func describe(value any) string {
	switch value := value.(type) {
	case error:
		return value.Error()
	case fmt.Stringer:
		return value.String()
	case string:
		return value
	}
	return fmt.Sprintf("%v", value)
}

// authorPlace returns the innermost frame of the stack that is neither in the SDK nor in Go's library; empty when there
// is none.
func authorPlace() string {
	var counters [128]uintptr
	frames := runtime.CallersFrames(counters[:runtime.Callers(2, counters[:])])
	code := newAuthorCode()
	for {
		frame, more := frames.Next()
		if place := code.place(frame); place != "" {
			return place
		}
		if !more {
			return ""
		}
	}
}

// authorCode tells an author's code by its import path.
type authorCode struct {
	// main is the import path of package main, which function names leave out.
	main string
	// modules are the paths of the modules that are linked in, the author's first.
	modules []string
}

func newAuthorCode() authorCode {
	info, known := debug.ReadBuildInfo()
	if !known {
		return authorCode{}
	}
	code := authorCode{main: info.Path, modules: []string{info.Main.Path}}
	for _, dependency := range info.Deps {
		code.modules = append(code.modules, dependency.Path)
	}
	return code
}

// place returns `FILE:LINE in FUNCTION` for a frame in an author's code, and nothing for any other. The file is relative
// to the author's module; that of another module begins with its import path.
func (c authorCode) place(frame runtime.Frame) string {
	folder, function := splitFunction(frame.Function)
	if folder == "main" {
		folder = c.main
		if folder == "command-line-arguments" {
			// Files given by name on the command line have no import path.
			folder = ""
		}
		return fmt.Sprintf("%s:%d in %s", c.file(folder, frame.File), frame.Line, function)
	}
	if within(folder, module) {
		return ""
	}
	for _, path := range c.modules {
		// A test that lies outside the package it tests is in a package of the same path with `_test` added.
		if path != "" && within(strings.TrimSuffix(folder, "_test"), path) {
			return fmt.Sprintf("%s:%d in %s", c.file(folder, frame.File), frame.Line, function)
		}
	}
	return ""
}

// file returns a file of a package without the folders that lead to the author's module.
func (c authorCode) file(folder, file string) string {
	folder = strings.TrimSuffix(folder, "_test")
	if len(c.modules) > 0 && c.modules[0] != "" && within(folder, c.modules[0]) {
		folder = strings.TrimPrefix(folder[len(c.modules[0]):], "/")
	}
	return path.Join(folder, path.Base(strings.ReplaceAll(file, `\`, "/")))
}

// splitFunction splits a function's name as the runtime has it, `example.com/pack/parse.(*Reader).next`, into the import
// path of its package and the rest, as its author wrote it.
func splitFunction(name string) (folder, function string) {
	dot := strings.LastIndexByte(name, '/') + 1
	length := strings.IndexByte(name[dot:], '.')
	if length < 0 {
		return "", name
	}
	// A dot in the last segment of an import path is escaped.
	folder = strings.ReplaceAll(name[:dot+length], "%2e", ".")
	return folder, withoutRangeBodies(name[dot+length+1:])
}

// withoutRangeBodies takes out what the compiler adds to a function's name for the body of a loop over an iterator: `-range`
// and a number. No name of Go's own has a hyphen.
func withoutRangeBodies(function string) string {
	for {
		before, after, found := strings.Cut(function, "-range")
		if !found {
			return function
		}
		function = before + strings.TrimLeft(after, "0123456789")
	}
}

func within(folder, path string) bool {
	rest, found := strings.CutPrefix(folder, path)
	return found && (rest == "" || rest[0] == '/')
}
