// A plugin whose detectors do to their key's state what the column `step` says, at the time in the column `time`. What the
// state answers becomes the finding's title, in the words of the guest `stateful`.
package main

import (
	"errors"
	"fmt"
	"strconv"

	yagura "github.com/yagura/yagura/sdk/go"
)

type steps struct {
	rule string
	step yagura.TextColumn
	time yagura.TimeColumn
}

func init() {
	// Two, so that a wake-up could go to the wrong one.
	for _, id := range []string{"steps", "other-steps"} {
		yagura.Detect(id, func(rule *yagura.Rule) (yagura.Detector, error) {
			return &steps{rule: rule.ID(), step: rule.Text("step"), time: rule.Time("time")}, nil
		})
	}
}

func (d *steps) OnBatch(batch *yagura.Batch, findings *yagura.Findings) error {
	for row := range batch.Rows() {
		answer, err := take(d.step.Or(row, ""), d.time.Or(row, 0), batch.State())
		if err != nil {
			return err
		}
		findings.Row(row).Title(answer)
	}
	return nil
}

func (d *steps) OnWake(time int64, state yagura.State, findings *yagura.Findings) error {
	// Neither comes again: time has to go on.
	if err := errors.Join(state.Wake(time), state.Wake(time-1)); err != nil {
		return err
	}
	count, err := state.Count("n", time)
	if err == nil && count == 2 {
		err = state.Wake(time + 100)
	}
	findings.AtWatermark().Title(fmt.Sprintf("%s: %d at %d, %s", d.rule, count, time, done(err)))
	return nil
}

func take(step string, at int64, state yagura.State) (string, error) {
	switch step {
	case "count":
		return number(state.Increment("n", 1, at)), nil
	case "count for ten":
		return number(state.IncrementUntil("n", 1, at, at+10)), nil
	case "read":
		return number(state.Count("n", at)), nil
	case "forget":
		return done(state.Remove("n")), nil
	case "wake":
		return done(state.Wake(at + 5)), nil
	case "write":
		return done(state.PutUntil("text", []byte("名"), at+10)), nil
	case "text":
		text, _, err := state.Get("text", at)
		if err != nil {
			return done(err), nil
		}
		return string(text), nil
	case "count text":
		return number(state.Increment("text", 1, at)), nil
	case "large value":
		return done(state.Put("large", make([]byte, 2000))), nil
	case "many entries":
		return times(1001, func(n int) error { return state.Put(strconv.Itoa(n), nil) }), nil
	case "many wake-ups":
		return times(101, func(n int) error { return state.Wake(at + 1 + int64(n)) }), nil
	case "come and go":
		return times(1000, func(n int) error {
			name := strconv.Itoa(n)
			return errors.Join(state.Put(name, make([]byte, 500)), state.Remove(name))
		}), nil
	case "error":
		return "", yagura.DataError("an event is odd")
	}
	return "", fmt.Errorf("`%s` is no step", step)
}

func times(count int, work func(n int) error) string {
	for n := range count {
		if err := work(n); err != nil {
			return done(err)
		}
	}
	return done(nil)
}

func number(count int64, err error) string {
	if err != nil {
		return done(err)
	}
	return strconv.FormatInt(count, 10)
}

func done(err error) string {
	if err != nil {
		return err.Error()
	}
	return "done"
}

func main() {}
