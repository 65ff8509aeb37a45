package yagura_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	yagura "github.com/yagura/yagura/sdk/go"
	"github.com/yagura/yagura/sdk/go/yaguratest"
)

// remembers does to its key's state what the column `step` says, at the event's time; answers come back as titles.
type remembers struct {
	step yagura.TextColumn
	time yagura.TimeColumn
}

func init() {
	yagura.Detect("remembers", func(rule *yagura.Rule) (yagura.Detector, error) {
		return &remembers{rule.Text("step"), rule.Time("time")}, nil
	})
}

func (d *remembers) OnBatch(batch *yagura.Batch, findings *yagura.Findings) error {
	for row := range batch.Rows() {
		answer, err := take(batch.State(), d.step.Or(row, ""), d.time.Or(row, 0))
		if err != nil {
			return err
		}
		findings.Row(row).Title(fmt.Sprint(answer))
	}
	return nil
}

func (d *remembers) OnWake(time int64, state yagura.State, findings *yagura.Findings) error {
	if err := state.Wake(time); err != nil {
		return err
	}
	count, err := state.Count("n", time)
	findings.AtWatermark().Title(fmt.Sprintf("%d at %d", count, time))
	return err
}

func take(state yagura.State, step string, at int64) (any, error) {
	switch step {
	case "count":
		return state.Increment("n", 1, at)
	case "count for ten":
		return state.IncrementUntil("n", 1, at, at+10)
	case "read":
		return state.Count("n", at)
	case "forget":
		return nil, state.Remove("n")
	case "wake":
		return nil, state.Wake(at + 5)
	case "write":
		return nil, state.PutJSON("text", []string{"櫓"}, at+10)
	case "text":
		var list []string
		found, err := state.GetJSON("text", at, &list)
		return fmt.Sprint(found, list), err
	case "wrong":
		return state.Increment("text", 1, at)
	case "large":
		return nil, state.Put("large", make([]byte, 70_000))
	case "fill":
		for number := range 2000 {
			if err := state.Put(fmt.Sprint(number), nil); err != nil {
				return nil, err
			}
		}
	case "wake often":
		for number := range int64(200) {
			if err := state.Wake(at + number); err != nil {
				return nil, err
			}
		}
	}
	return nil, errors.New("no such step")
}

func steps(first int, steps ...string) *yaguratest.Events {
	times := make([]any, len(steps))
	for index := range steps {
		times[index] = first + index
	}
	return yaguratest.NewEvents().Text("step", yaguratest.Values(steps)...).Time("time", times...)
}

func remembering(t *testing.T) *yaguratest.Session {
	t.Helper()
	session, err := yaguratest.Open(yaguratest.Rule{ID: "remembers"}, steps(0))
	if err != nil {
		t.Fatal(err)
	}
	return session
}

func titles(t *testing.T, findings []yaguratest.Finding, err error) []string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var titles []string
	for _, finding := range findings {
		titles = append(titles, finding.Title)
	}
	return titles
}

func TestStateInATestIsAsWithAHost(t *testing.T) {
	session := remembering(t)
	for _, batch := range []struct {
		key   string
		first int
		steps []string
		told  []string
	}{
		{"a", 0, []string{"count for ten", "count", "read"}, []string{"1", "2", "2"}},
		{"b", 3, []string{"count"}, []string{"1"}},
		{"a", 9, []string{"read", "read", "count"}, []string{"2", "0", "1"}},
		{"a", 20, []string{"forget", "read", "write", "text"}, []string{"<nil>", "0", "<nil>", "true [櫓]"}},
		{"a", 32, []string{"text"}, []string{"false []"}},
	} {
		findings, err := session.KeyedBatch(batch.key, steps(batch.first, batch.steps...))
		if told := titles(t, findings, err); !reflect.DeepEqual(told, batch.told) {
			t.Errorf("%v at %d of %s say %q", batch.steps, batch.first, batch.key, told)
		}
	}
}

func TestACallThatFailsChangesNoState(t *testing.T) {
	session := remembering(t)
	for step, message := range map[string]string{
		"oops":       "no such step",
		"wrong":      "not a counter",
		"large":      "would have 70025 bytes",
		"fill":       "1000 entries",
		"wake often": "100 wake-ups",
	} {
		_, err := session.KeyedBatch("a", steps(0, "count", "wake", "write", step))
		var data yagura.DataError
		if !errors.As(err, &data) || !strings.Contains(err.Error(), message) {
			t.Errorf("%s says %v", step, err)
		}
	}
	if wakes := session.Wakes("a"); len(wakes) != 0 {
		t.Errorf("it waits for %v", wakes)
	}
	findings, err := session.KeyedBatch("a", steps(0, "count"))
	if told := titles(t, findings, err); told[0] != "1" {
		t.Errorf("it counts %q", told)
	}
	if _, err := session.Batch(steps(0, "count")); err == nil || !strings.Contains(err.Error(), "`partition_by`") {
		t.Errorf("without a key: %v", err)
	}
}

func TestAKeyIsWokenOnceForEachTime(t *testing.T) {
	session := remembering(t)
	if _, err := session.KeyedBatch("a", steps(0, "count", "wake", "wake")); err != nil {
		t.Fatal(err)
	}
	if wakes := session.Wakes("a"); !reflect.DeepEqual(wakes, []int64{6, 7}) {
		t.Errorf("it waits for %v", wakes)
	}
	findings, err := session.Wake("a", 6)
	if told := titles(t, findings, err); !reflect.DeepEqual(told, []string{"1 at 6"}) {
		t.Errorf("it says %q", told)
	}
	if wakes := session.Wakes("a"); !reflect.DeepEqual(wakes, []int64{7}) {
		t.Errorf("it waits for %v", wakes)
	}
	// A detector without OnWake hears of the time as it always did.
	counter, err := yaguratest.Open(yaguratest.Rule{ID: "a"}, yaguratest.NewEvents().Int64("number"))
	if err != nil {
		t.Fatal(err)
	}
	findings, err = counter.Wake("a", 6)
	if told := titles(t, findings, err); !reflect.DeepEqual(told, []string{"0"}) {
		t.Errorf("it says %q", told)
	}
}
