package yagura

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/yagura/yagura/sdk/go/internal/abi"
	"github.com/yagura/yagura/sdk/go/internal/author"
	"github.com/yagura/yagura/sdk/go/internal/detection"
	"github.com/yagura/yagura/sdk/go/internal/state"
)

func init() {
	detection.New = func() detection.Plugin { return new(component) }
}

// component serves the contract: opening, dispatch by rule, and the private state of all.
type component struct {
	// rules are those of Open, in its order.
	rules []openRule
}

type openRule struct {
	id       string
	schema   []abi.Field
	detector Detector
}

// Rules returns the ids of the rules that there are detectors for.
func (c *component) Rules() []string {
	ids := make([]string, 0, len(entries))
	for _, entry := range entries {
		ids = append(ids, entry.id)
	}
	return ids
}

// Open opens a detector for each rule. On failure nothing changes.
func (c *component) Open(config string, rules []detection.Rule) *abi.Error {
	opened := make([]openRule, 0, len(rules))
	for index := range rules {
		rule := &rules[index]
		detector, failure := open(config, rule)
		if failure != nil {
			return failure
		}
		opened = append(opened, openRule{id: rule.ID, schema: rule.Schema, detector: detector})
	}
	c.rules = opened
	return nil
}

// OnBatch evaluates a batch for the rule of a number.
func (c *component) OnBatch(number uint32, raw *abi.Batch) (findings []*detection.Finding, failure *abi.Error) {
	if int(number) >= len(c.rules) {
		message := fmt.Sprintf("a batch for rule %d came where %d are open", number, len(c.rules))
		return nil, &abi.Error{Kind: abi.Data, Message: message}
	}
	rule := &c.rules[number]
	batch, err := newBatch(rule.schema, raw)
	if err != nil {
		return nil, author.ToContract(err, abi.Data)
	}
	var collected Findings
	if failure := call(func() error { return rule.detector.OnBatch(batch, &collected) }); failure != nil {
		return nil, failure
	}
	return collected.list, nil
}

// OnWatermark wakes the rule whose key is at hand. Without one, it tells every detector that wants to know how far time has
// come.
func (c *component) OnWatermark(time int64) ([]detection.RuleFinding, *abi.Error) {
	woken, none := state.Rule()
	var all []detection.RuleFinding
	for number, rule := range c.rules {
		if none == nil && uint32(number) != woken {
			continue
		}
		tell := teller(rule.detector, none == nil)
		if tell == nil {
			continue
		}
		var collected Findings
		if failure := call(func() error { return tell(time, &collected) }); failure != nil {
			return nil, failure
		}
		for _, finding := range collected.list {
			all = append(all, detection.RuleFinding{Rule: uint32(number), Finding: finding})
		}
	}
	return all, nil
}

// teller returns what tells a detector of a time; nil for one that does not want to know.
func teller(detector Detector, ofKey bool) func(time int64, findings *Findings) error {
	if waker, wants := detector.(Waker); wants && ofKey {
		return func(time int64, findings *Findings) error { return waker.OnWake(time, State{}, findings) }
	}
	if watermarker, wants := detector.(Watermarker); wants {
		return watermarker.OnWatermark
	}
	return nil
}

// Snapshot returns the states of all detectors that keep one, each behind its rule's id.
func (c *component) Snapshot() ([]byte, *abi.Error) {
	var bytes []byte
	for _, rule := range c.rules {
		detector, keeps := rule.detector.(Stateful)
		if !keeps {
			continue
		}
		var part []byte
		failure := call(func() (err error) {
			part, err = detector.Snapshot()
			return err
		})
		if failure != nil {
			return nil, failure
		}
		if len(part) > 0 {
			bytes = putPart(putPart(bytes, []byte(rule.id)), part)
		}
	}
	return bytes, nil
}

// Restore gives each detector its state back.
func (c *component) Restore(rest []byte) *abi.Error {
	for len(rest) > 0 {
		var id, part []byte
		var found bool
		if id, rest, found = takePart(rest); found {
			part, rest, found = takePart(rest)
		}
		if !found {
			return &abi.Error{Kind: abi.Data, Message: "the state to restore is cut off or not ours"}
		}
		if failure := c.restoreRule(string(id), part); failure != nil {
			return failure
		}
	}
	return nil
}

func (c *component) restoreRule(id string, part []byte) *abi.Error {
	for _, rule := range c.rules {
		if rule.id != id {
			continue
		}
		if detector, keeps := rule.detector.(Stateful); keeps {
			return call(func() error { return detector.Restore(part) })
		}
		Log.Warn(fmt.Sprintf("the state of rule `%s` is dropped: the detector keeps none", id))
		return nil
	}
	Log.Warn(fmt.Sprintf("the state of rule `%s` is dropped: the rule is not open any more", id))
	return nil
}

// open opens the detector of a rule.
func open(config string, rule *detection.Rule) (Detector, *abi.Error) {
	found, failure := entryOf(rule.ID)
	if failure != nil {
		return nil, failure
	}
	learnt := &Rule{rule: rule, pluginConfig: config}
	var detector Detector
	failure = author.Call(abi.Config, func() (err error) {
		detector, err = found.open(learnt)
		return err
	})
	switch {
	case learnt.failure != nil:
		// It came first: whatever went wrong afterwards may well have come of it.
		failure = author.ToContract(learnt.failure, abi.Config)
	case failure == nil && detector == nil:
		failure = &abi.Error{Kind: abi.Config, Message: "opening it returned no detector"}
	}
	if failure != nil && failure.Kind == abi.Config {
		failure.Message = fmt.Sprintf("rule `%s`: %s", rule.ID, failure.Message)
	}
	return detector, failure
}

func entryOf(id string) (*entry, *abi.Error) {
	var found *entry
	known := make([]string, 0, len(entries))
	for index := range entries {
		entry := &entries[index]
		known = append(known, "`"+entry.id+"`")
		if entry.id != id {
			continue
		}
		if found != nil {
			return nil, &abi.Error{Kind: abi.Config, Message: fmt.Sprintf("rule `%s`: it has two detectors", id)}
		}
		found = entry
	}
	if found == nil {
		return nil, &abi.Error{Kind: abi.Config, Message: fmt.Sprintf(
			"the component has no detector for rule `%s`: it has %s", id, strings.Join(known, ", "))}
	}
	return found, nil
}

// call calls an author's code that evaluates events.
func call(work func() error) *abi.Error {
	return author.Call(abi.Data, work)
}

func putPart(bytes, part []byte) []byte {
	bytes = binary.LittleEndian.AppendUint64(bytes, uint64(len(part)))
	return append(bytes, part...)
}

func takePart(bytes []byte) (part, rest []byte, found bool) {
	if len(bytes) < 8 {
		return nil, nil, false
	}
	length, after := binary.LittleEndian.Uint64(bytes), bytes[8:]
	if length > uint64(len(after)) {
		return nil, nil, false
	}
	return after[:length:length], after[length:], true
}
