package main

import (
	"testing"

	"github.com/yagura/yagura/sdk/go/plugin"
	"github.com/yagura/yagura/sdk/go/yaguratest"
)

func TestAnAlertIsJudgedByWhatItsHostRuns(t *testing.T) {
	yaguratest.NewLookups(t, yaguratest.Lookups{"platforms": {
		"mac-7": map[string]string{"platform": "macos"}, "pc-1": map[string]string{"platform": "windows"},
	}})
	low := plugin.Assessment{
		Severity: plugin.Low, Verdict: plugin.Benign, Reason: "it harms windows, and mac-7 runs macos",
	}
	high := plugin.Assessment{Severity: plugin.High, Verdict: plugin.Malicious, Reason: "a known attacker"}
	// Without a severity of its own an assessment leaves the alert's, which is medium.
	open := plugin.Assessment{Severity: plugin.Medium, Reason: "the alert names no host"}
	for name, test := range map[string]struct {
		host       string
		tag        string
		reputation string
		wanted     *plugin.Assessment
	}{
		"a Mac":              {"mac-7", "platform.windows", "", &low},
		"a PC":               {"pc-1", "platform.windows", "", nil},
		"an unknown host":    {"srv-1", "platform.windows", "", nil},
		"another rule":       {"mac-7", "platform.linux", "", nil},
		"a known attacker":   {"mac-7", "platform.windows", "malicious", &high},
		"an alert of nobody": {"", "platform.windows", "", &open},
	} {
		alert := yaguratest.NewAlert()
		alert.Tags = []string{"attack.t1189", test.tag}
		if test.host != "" {
			alert.Observables = []plugin.Observable{{Kind: plugin.Host, Value: test.host}}
		}
		found, err := yaguratest.Review("", alert, plugin.Attribute{Name: "reputation", Value: test.reputation})
		if err != nil {
			t.Fatal(err)
		}
		if found == nil != (test.wanted == nil) || found != nil && *found != *test.wanted {
			t.Errorf("%s: %+v", name, found)
		}
	}
}
