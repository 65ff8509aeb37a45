// Package normalizer is for plugins that parse raw logs in a form of their own: one interface, one function.
//
//	package main
//
//	import (
//		"errors"
//		"strings"
//
//		"github.com/yagura/yagura/sdk/go/normalizer"
//		"github.com/yagura/yagura/sdk/go/plugin"
//	)
//
//	type doors struct{}
//
//	func init() {
//		normalizer.Serve(func(*plugin.Config) (normalizer.Normalizer, error) { return doors{}, nil })
//	}
//
//	// 2026-02-03T04:05:06Z|lobby|open|ann
//	func (doors) Parse(record []byte, events *normalizer.Events) error {
//		fields := strings.Split(string(record), "|")
//		if len(fields) != 4 {
//			return errors.New("a line has four fields, separated by `|`")
//		}
//		event := events.Add()
//		event.Text("time", fields[0])
//		event.Text("door", fields[1])
//		event.Text("what", fields[2])
//		event.Text("who", fields[3])
//		return nil
//	}
//
//	func main() {}
//
// Package yaguratest runs it natively, in unit tests.
package normalizer

import (
	"errors"

	"github.com/yagura/yagura/sdk/go/internal/abi"
	"github.com/yagura/yagura/sdk/go/internal/author"
	"github.com/yagura/yagura/sdk/go/internal/normalizing"
	"github.com/yagura/yagura/sdk/go/plugin"
)

// Normalizer parses the raw records of a source. Each line of the logs is a record. The source's file maps the fields of events to
// columns.
type Normalizer interface {
	// Parse adds the events of one record: usually one, none for a header. What a record becomes must depend on its bytes
	// alone: the host divides records into calls as it likes, and makes calls again. So keep nothing between records, also
	// not the record itself.
	//
	// An error, or a panic, means that the record is malformed: the host keeps it with the message, and without its events.
	// A [plugin.RetryError] or a [plugin.ConfigError] ends the call instead: no record is at fault.
	Parse(record []byte, events *Events) error
}

// Serve names the component's normalizer; call it once, from an init function. `open` is called when the component is opened,
// before the first record; it need not check the configuration's lookups. An error of it or a panic is a [plugin.ConfigError]
// unless it is one of the others.
func Serve(open func(config *plugin.Config) (Normalizer, error)) {
	opener.Add(open)
}

var opener author.Opener[Normalizer]

func init() {
	normalizing.New = func() normalizing.Plugin { return new(component) }
}

// component serves the contract.
type component struct{ opened Normalizer }

func (c *component) Open(config string) (failure *abi.Error) {
	c.opened, failure = opener.Open("normalizer", config)
	return failure
}

func (c *component) Normalize(records *abi.Column) (*normalizing.Normalized, *abi.Error) {
	if c.opened == nil {
		return nil, author.NotOpen("normalizer")
	}
	events := new(Events)
	var failed *abi.Error
	var malformed []normalizing.Malformed
	var ends []uint32
	whole := normalizing.Each(records, func(record []byte) {
		if failed != nil {
			return
		}
		before := events.mark()
		failure := author.Call(abi.Data, func() error {
			if err := c.opened.Parse(record, events); err != nil {
				return err
			}
			events.end()
			return events.failure
		})
		if failure != nil {
			events.back(before)
			if failure.Kind != abi.Data {
				failed = failure
				return
			}
			malformed = append(malformed, normalizing.Malformed{Index: uint32(len(ends)), Reason: failure.Message})
		}
		ends = append(ends, uint32(len(events.ends)))
	})
	if failed == nil && !whole {
		failed = &abi.Error{Kind: abi.Data, Message: "the records are not laid out as a column"}
	}
	if failed != nil {
		return nil, failed
	}
	return &normalizing.Normalized{Records: ends, Ends: events.ends, Text: events.text, Malformed: malformed}, nil
}

var errInvalid = errors.New("`JSON` was given a text that is not valid JSON")
