package abi

import (
	"errors"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The names and their order in the contract are written down here a second time; this compares them where the contract
// lies beside the SDK.
func TestEnumsAreThoseOfTheContract(t *testing.T) {
	text, err := os.ReadFile("../../../../wit/v0.1.0/types.wit")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the contract is not part of the published module")
	}
	if err != nil {
		t.Fatal(err)
	}
	contract := regexp.MustCompile(`//.*`).ReplaceAllString(string(text), "")
	for declaration, names := range map[string][]string{
		"enum severity": {"info", "low", "medium", "high", "critical"},
		"enum data-type": {
			Boolean.String(), Int64.String(), Float64.String(), Timestamp.String() + "-us", UTF8.String(), Binary.String(),
		},
		"variant plugin-error": {"config(string)", "data(string)", "retry(string)"},
		"variant state-error":  {"no-scope", "too-large(string)", "not-a-number"},
		"enum level":           {LevelDebug.String(), LevelInfo.String(), LevelWarn.String(), LevelError.String()},
		"record field":         {"name: string", "data-type: data-type", "nullable: bool"},
		"record column":        {"validity: list<u8>", "offsets: list<u8>", "values: list<u8>"},
		"record batch":         {"rows: u32", "columns: list<column>"},
		"record rule":          {"id: string", "config: string", "schema: list<field>"},
		"record finding": {
			"rows: list<u32>", "title: option<string>", "severity: option<severity>", "key: option<string>",
			"observables: list<tuple<string, string>>", "context: list<tuple<string, string>>",
		},
	} {
		body := regexp.MustCompile(declaration + `\s*\{([^}]*)\}`).FindStringSubmatch(contract)
		if body == nil {
			t.Errorf("the contract has no %s", declaration)
			continue
		}
		if found := members(body[1]); !slices.Equal(found, names) {
			t.Errorf("%s is %q in the contract, %q here", declaration, found, names)
		}
	}
}

// members splits at commas that are not between angle brackets.
func members(body string) []string {
	var members []string
	depth, start := 0, 0
	for index, character := range body + "," {
		switch character {
		case '<':
			depth++
		case '>':
			depth--
		case ',':
			if member := strings.TrimSpace((body + ",")[start:index]); depth == 0 {
				start = index + 1
				if member != "" {
					members = append(members, member)
				}
			}
		}
	}
	return members
}
