package abi

import (
	"errors"
	"runtime"
	"testing"
)

func TestPlacesAreThoseOfAnAuthor(t *testing.T) {
	code := authorCode{
		main:    "example.com/logins/detector",
		modules: []string{"example.com/logins/detector", module, "gopkg.in/yaml.v3"},
	}
	for _, test := range []struct{ function, file, wanted string }{
		{"main.first", "/home/author/logins/detector/main.go", "main.go:7 in first"},
		{"main.(*rootLogin).OnBatch", "example.com/logins/detector/root.go", "root.go:7 in (*rootLogin).OnBatch"},
		{"main.(*rootLogin).OnBatch-range1", "root.go", "root.go:7 in (*rootLogin).OnBatch"},
		{"main.evaluate-range12.func3", `C:\logins\detector\root.go`, "root.go:7 in evaluate.func3"},
		{"example.com/logins/detector/parse.Port", "x/parse/port.go", "parse/port.go:7 in Port"},
		{"example.com/logins/detector/parse_test.TestPort", "x/parse/port_test.go", "parse/port_test.go:7 in TestPort"},
		{"gopkg.in/yaml%2ev3.Unmarshal", "x/yaml.go", "gopkg.in/yaml.v3/yaml.go:7 in Unmarshal"},
		{"example.com/logins/detectors.Other", "x/other.go", ""},
		{"runtime.gopanic", "runtime/panic.go", ""},
		{"encoding/json.Unmarshal", "encoding/json/decode.go", ""},
		{module + ".guard", "component.go", ""},
		{module + "/internal/detection.exportOnBatch", "exports.go", ""},
		{"", "", ""},
	} {
		frame := runtime.Frame{Function: test.function, File: test.file, Line: 7}
		if place := code.place(frame); place != test.wanted {
			t.Errorf("%s is at %q, not at %q", test.function, place, test.wanted)
		}
	}
}

type spoken struct{}

func (spoken) String() string { return "spoken" }

func TestPanicsOfAnyValueHaveAMessage(t *testing.T) {
	for value, wanted := range map[any]string{
		"text":             "text",
		errors.New("oops"): "oops",
		spoken{}:           "spoken",
		42:                 "42",
	} {
		if found := describe(value); found != wanted {
			t.Errorf("%#v is described as %q, not as %q", value, found, wanted)
		}
	}
}
