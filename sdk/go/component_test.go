package yagura_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"

	yagura "github.com/yagura/yagura/sdk/go"
	"github.com/yagura/yagura/sdk/go/internal/abi"
	"github.com/yagura/yagura/sdk/go/internal/detection"
	"github.com/yagura/yagura/sdk/go/yaguratest"
)

// counter counts rows and says so at the watermark.
type counter struct {
	number yagura.Int64Column
	rows   uint64
}

func openCounter(rule *yagura.Rule) (yagura.Detector, error) {
	return &counter{number: rule.Int64("number")}, nil
}

func (c *counter) OnBatch(batch *yagura.Batch, findings *yagura.Findings) error {
	for row := range batch.Rows() {
		c.rows++
		if number, known := c.number.Get(row); known && number == 42 {
			findings.Row(row)
		}
	}
	return nil
}

func (c *counter) OnWatermark(_ int64, findings *yagura.Findings) error {
	findings.AtWatermark().Title(fmt.Sprint(c.rows))
	return nil
}

func (c *counter) Snapshot() ([]byte, error) {
	return binary.LittleEndian.AppendUint64(nil, c.rows), nil
}

func (c *counter) Restore(state []byte) error {
	if len(state) != 8 {
		return yagura.DataError("eight bytes")
	}
	c.rows = binary.LittleEndian.Uint64(state)
	return nil
}

// function is a detector that is only a function.
type function func(batch *yagura.Batch, findings *yagura.Findings) error

func (f function) OnBatch(batch *yagura.Batch, findings *yagura.Findings) error {
	return f(batch, findings)
}

func detect(id string, evaluate function) {
	yagura.Detect(id, func(*yagura.Rule) (yagura.Detector, error) { return evaluate, nil })
}

func init() {
	yagura.Detect("a", openCounter)
	yagura.Detect("b", openCounter)
	yagura.Detect("twice", openCounter)
	yagura.Detect("twice", openCounter)
	yagura.Detect("refuses", func(*yagura.Rule) (yagura.Detector, error) { return nil, errors.New("not today") })
	yagura.Detect("nothing", func(*yagura.Rule) (yagura.Detector, error) { return nil, nil })
	yagura.Detect("panics-at-open", func(*yagura.Rule) (yagura.Detector, error) { return function(nil), tooFar(nil) })
	yagura.Detect("goes-on", func(rule *yagura.Rule) (yagura.Detector, error) {
		rule.Text("number")
		rule.Text("nubmer")
		return nil, tooFar(rule.Columns()[1:])
	})
	yagura.Detect("configured", openConfigured)
	detect("panics", func(batch *yagura.Batch, _ *yagura.Findings) error {
		for range batch.Rows() {
			if err := tooFar(nil); err != nil {
				return err
			}
		}
		return nil
	})
	detect("fails", func(*yagura.Batch, *yagura.Findings) error { return errors.New("row 7 holds no address") })
	detect("retries", func(*yagura.Batch, *yagura.Findings) error {
		return fmt.Errorf("after a while: %w", yagura.RetryError("not warm"))
	})
}

//go:noinline
func tooFar(list []string) error {
	return errors.New(list[0])
}

// place returns how an error names the line below the head of a function.
func place(function any, name string) string {
	counter := reflect.ValueOf(function).Pointer()
	_, line := runtime.FuncForPC(counter).FileLine(counter)
	return fmt.Sprintf("(component_test.go:%d in %s)", line+1, name)
}

var numbers = yaguratest.NewEvents().Int64("number", 1, 42, 42)

func TestBatchesGoToTheRuleThatTheyAreForAndStateComesBack(t *testing.T) {
	rule := func(id string) detection.Rule {
		return detection.Rule{ID: id, Config: "{}", Schema: []abi.Field{{Name: "number", DataType: abi.Int64}}}
	}
	batch := func(numbers ...int64) *abi.Batch {
		var values []byte
		for _, number := range numbers {
			values = binary.LittleEndian.AppendUint64(values, uint64(number))
		}
		return &abi.Batch{Rows: uint32(len(numbers)), Columns: []abi.Column{{Values: values}}}
	}
	plugin := detection.New()
	if failure := plugin.Open("{}", []detection.Rule{rule("b"), rule("a")}); failure != nil {
		t.Fatal(failure)
	}
	findings, failure := plugin.OnBatch(1, batch(1, 42, 42))
	if failure != nil || len(findings) != 2 || findings[0].Rows[0] != 1 || findings[1].Rows[0] != 2 {
		t.Errorf("found %v, %v", findings, failure)
	}
	if _, failure := plugin.OnBatch(2, batch()); failure == nil {
		t.Error("a batch for no rule is let through")
	}
	state, failure := plugin.Snapshot()
	if failure != nil {
		t.Fatal(failure)
	}

	// The order of the rules differs and one is gone: state follows the rule's id.
	plugin = detection.New()
	if failure := plugin.Open("{}", []detection.Rule{rule("a")}); failure != nil {
		t.Fatal(failure)
	}
	if failure := plugin.Restore(state); failure != nil {
		t.Fatal(failure)
	}
	atWatermark, failure := plugin.OnWatermark(0)
	if failure != nil || len(atWatermark) != 1 || *atWatermark[0].Finding.Title != "3" {
		t.Errorf("found %v, %v", atWatermark, failure)
	}
	for length := 1; length < len(state); length++ {
		// Half of it is the state of one rule, whole.
		if length != len(state)/2 && plugin.Restore(state[:length]) == nil {
			t.Errorf("%d bytes of state are let through", length)
		}
	}
}

func TestErrorsAtOpenNameTheRule(t *testing.T) {
	for id, wanted := range map[string]string{
		"c":       "the component has no detector for rule `c`: it has `a`, `b`, `twice`, ",
		"twice":   "rule `twice`: it has two detectors",
		"refuses": "rule `refuses`: not today",
		"nothing": "rule `nothing`: opening it returned no detector",
		// The first lookup that failed, whatever came of it.
		"goes-on": "rule `goes-on`: column `number` is of type int64 where the detector reads utf8",
		"panics-at-open": "rule `panics-at-open`: panic: runtime error: index out of range [0] with length 0 " +
			place(tooFar, "tooFar"),
	} {
		_, err := yaguratest.Evaluate(id, numbers)
		if _, isConfig := err.(yagura.ConfigError); !isConfig || !strings.HasPrefix(err.Error(), wanted) {
			t.Errorf("%s: %T %v, not %s", id, err, err, wanted)
		}
	}
	_, err := yaguratest.Evaluate("a", yaguratest.NewEvents().Text("nubmer", "1").Text("other", "2"))
	wanted := "rule `a`: the rule hands over no column `number`: add it to the rule's `columns`, which are `nubmer`, `other`"
	if err == nil || err.Error() != wanted {
		t.Errorf("%v, not %s", err, wanted)
	}
}

func TestErrorsInABatchSayWhatToDoWithIt(t *testing.T) {
	for id, wanted := range map[string]error{
		"fails":   yagura.DataError("row 7 holds no address"),
		"retries": yagura.RetryError("after a while: not warm"),
		"panics": yagura.DataError(
			"panic: runtime error: index out of range [0] with length 0 " + place(tooFar, "tooFar")),
	} {
		if _, err := yaguratest.Evaluate(id, numbers); err != wanted {
			t.Errorf("%T %v, not %v", err, err, wanted)
		}
	}
}

// configured puts its settings into the context.
type configured struct {
	Digits float64  `json:"digits"`
	Names  []string `json:"names"`
	Inner  struct {
		Port int `json:"port"`
	} `json:"inner"`
	shared struct{ Accounts []string }
}

func openConfigured(rule *yagura.Rule) (yagura.Detector, error) {
	settings := configured{Digits: 0.3}
	rule.Config(&settings)
	rule.PluginConfig(&settings.shared)
	return settings, nil
}

func (c configured) OnBatch(batch *yagura.Batch, findings *yagura.Findings) error {
	findings.Row(batch.Row(0)).Title(fmt.Sprint(c.Digits, c.Names, c.Inner.Port, c.shared.Accounts))
	return nil
}

func TestConfigurationIsDecodedAndMistakesInItAreNamed(t *testing.T) {
	for config, wanted := range map[string]string{
		``:                                 "0.3 [] 0 []",
		`{"names":["a"],"digits":1}`:       "1 [a] 0 []",
		`{"inner":{"port":22}}`:            "0.3 [] 22 []",
		`{"digits":"x"}`:                   "rule `configured`: `rule.config.digits` is a JSON string where float64 is wanted",
		`{"inner":{"port":1.5}}`:           "rule `configured`: `rule.config.inner.port` is a JSON number 1.5 where int is wanted",
		`{"digit":1}`:                      "rule `configured`: `rule.config` has the key `digit`, which the plugin does not know: it knows `digits`, `names`, `inner`",
		`{"inner":{"prot":1}}`:             "rule `configured`: `rule.config` has the key `prot`, which the plugin does not know: it knows `digits`, `names`, `inner`",
		`{"digits":0.5} {"names":["more"]`: "0.5 [] 0 []",
	} {
		findings, err := yaguratest.EvaluateRule(yaguratest.Rule{ID: "configured", Config: config}, numbers)
		found := fmt.Sprint(err)
		if err == nil {
			found = findings[0].Title
		}
		if found != wanted {
			t.Errorf("%s gives %s, not %s", config, found, wanted)
		}
	}
	rule := yaguratest.Rule{ID: "configured", PluginConfig: `{"Accounts":["1"]}`}
	if findings, err := yaguratest.EvaluateRule(rule, numbers); err != nil || findings[0].Title != "0.3 [] 0 [1]" {
		t.Errorf("found %v, %v", findings, err)
	}
}
