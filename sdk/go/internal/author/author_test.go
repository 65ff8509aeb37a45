package author_test

import (
	"errors"
	"testing"

	"github.com/yagura/yagura/sdk/go/internal/abi"
	"github.com/yagura/yagura/sdk/go/internal/author"
	"github.com/yagura/yagura/sdk/go/plugin"
)

type opened interface{ Ready() }

type ready struct{}

func (ready) Ready() {}

type open = func(*plugin.Config) (opened, error)

func TestAPluginIsOpenedOnceAndMistakesAreTheConfigurations(t *testing.T) {
	var settings struct {
		Most int `json:"most"`
	}
	fine := func(config *plugin.Config) (opened, error) {
		config.Decode(&settings)
		return ready{}, nil
	}
	for name, test := range map[string]struct {
		opens  []open
		config string
		wanted *abi.Error
	}{
		"fine":    {[]open{fine}, `{"most": 3}`, nil},
		"no one":  {nil, `{}`, &abi.Error{Message: "the component has no enricher: call enricher.Serve in an init function"}},
		"two":     {[]open{fine, fine}, `{}`, &abi.Error{Message: "the component has more than one enricher: call enricher.Serve once"}},
		"key":     {[]open{fine}, `{"mots": 3}`, &abi.Error{Message: "`plugin.config` has the key `mots`, which the plugin does not know: it knows `most`"}},
		"refused": {[]open{func(*plugin.Config) (opened, error) { return nil, errors.New("not today") }}, `{}`, &abi.Error{Message: "not today"}},
		"later": {[]open{func(*plugin.Config) (opened, error) { return nil, plugin.RetryError("later") }}, `{}`,
			&abi.Error{Kind: abi.Retry, Message: "later"}},
		"nothing": {[]open{func(*plugin.Config) (opened, error) { return nil, nil }}, `{}`, &abi.Error{Message: "opening it returned no enricher"}},
		"panics":  {[]open{func(*plugin.Config) (opened, error) { panic("oops") }}, `{}`, &abi.Error{Message: "panic: oops"}},
		"computes": {[]open{func(config *plugin.Config) (opened, error) {
			config.Decode(&settings)
			panic("with what could not be read")
		}}, `{"most": "x"}`, &abi.Error{Message: "`plugin.config.most` is a JSON string where int is wanted"}},
	} {
		var opener author.Opener[opened]
		for _, open := range test.opens {
			opener.Add(open)
		}
		_, failure := opener.Open("enricher", test.config)
		if (failure == nil) != (test.wanted == nil) || failure != nil && *failure != *test.wanted {
			t.Errorf("%s: %+v, not %+v", name, failure, test.wanted)
		}
	}
	if settings.Most != 3 {
		t.Errorf("settings are %+v", settings)
	}
}
