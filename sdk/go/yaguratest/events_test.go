package yaguratest_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	yagura "github.com/yagura/yagura/sdk/go"
	"github.com/yagura/yagura/sdk/go/yaguratest"
)

// echo copies every value of every type into the context.
type echo struct {
	text    yagura.TextColumn
	whole   yagura.Int64Column
	float   yagura.Float64Column
	boolean yagura.BooleanColumn
	time    yagura.TimeColumn
	binary  yagura.BinaryColumn
}

func init() {
	yagura.Detect("echo", func(rule *yagura.Rule) (yagura.Detector, error) {
		return &echo{
			rule.Text("text"), rule.Int64("int"), rule.Float64("float"), rule.Boolean("bool"), rule.Time("time"),
			rule.Binary("binary"),
		}, nil
	})
}

func (e *echo) OnBatch(batch *yagura.Batch, findings *yagura.Findings) error {
	for row := range batch.Rows() {
		finding := findings.Row(row)
		put := func(name string, value any, found bool) {
			if found {
				finding.Context(name, fmt.Sprint(value))
			}
		}
		text, found := e.text.Get(row)
		put("text", text, found)
		whole, found := e.whole.Get(row)
		put("int", whole, found)
		float, found := e.float.Get(row)
		put("float", float, found)
		boolean, found := e.boolean.Get(row)
		put("bool", boolean, found)
		time, found := e.time.Get(row)
		put("time", time, found)
		binary, found := e.binary.Get(row)
		put("binary", binary, found)
	}
	return nil
}

func TestValuesArriveAsTheyWereGiven(t *testing.T) {
	events := yaguratest.NewEvents().
		Text("text", append(yaguratest.Values([]string{"a", "b", "c", "d", "e", "f", "g", "h"}), nil, "櫓")...).
		Int64("int", 0, 1, 2, nil, int64(-4), 5, 6, 7, 8, 9).
		Float64("float", 0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, nil).
		Boolean("bool", true, false, true, false, true, false, true, false, true, nil).
		Time("time", 0, 1, 2, 3, 4, 5, 6, 7, int64(8), time.UnixMicro(9)).
		Binary("binary", nil, nil, nil, []byte(nil), nil, nil, nil, nil, []byte{1}, nil)
	findings, err := yaguratest.Evaluate("echo", events)
	if err != nil {
		t.Fatal(err)
	}
	for row, wanted := range map[int]string{
		3: "[[text d] [float 1.5] [bool false] [time 3] [binary []]]",
		8: "[[int 8] [float 4] [bool true] [time 8] [binary [1]]]",
		9: "[[text 櫓] [int 9] [time 9]]",
	} {
		if found := fmt.Sprint(findings[row].Context); found != wanted {
			t.Errorf("row %d is %s, not %s", row, found, wanted)
		}
	}
	part, err := yaguratest.Evaluate("echo", events.Slice(8, 10))
	if err != nil || len(part) != 2 || !reflect.DeepEqual(part[1].Context, findings[9].Context) {
		t.Errorf("the last two are %v, %v", part, err)
	}
}

func TestMistakesInATestAreNamed(t *testing.T) {
	for wanted, mistake := range map[string]func(){
		"column `b` has 1 values where the columns before have 2": func() {
			yaguratest.NewEvents().Text("a", "1", "2").Text("b", "1")
		},
		"column `a` of type utf8 has a int in row 1": func() {
			yaguratest.NewEvents().Text("a", "1", 2)
		},
	} {
		func() {
			defer func() {
				if found := recover(); found != wanted {
					t.Errorf("%v, not %s", found, wanted)
				}
			}()
			mistake()
		}()
	}
}
