// The pack's normalizer. `go test .` runs it natively; `yagura build ..` makes a component of it.
package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/yagura/yagura/sdk/go/normalizer"
	"github.com/yagura/yagura/sdk/go/plugin"
)

// door reads lines of a time and of fields that begin with their length: `2026-02-03T04:05:06Z 5:lobby,4:open,`.
type door struct{}

// names are the fields, in their order.
var names = []string{"door", "what", "who", "reader"}

func init() {
	normalizer.Serve(open)
}

// open reads `[plugin.config]`: a wrong key or type is an error before the first line, and needs no check here.
func open(config *plugin.Config) (normalizer.Normalizer, error) {
	settings := new(door)
	config.Decode(settings)
	return settings, nil
}

// Parse gets one line, and adds its events. An error keeps the line among those that cannot be read, with the reason.
func (*door) Parse(record []byte, events *normalizer.Events) error {
	time, rest, found := strings.Cut(string(record), " ")
	if !found {
		return errors.New("the line has no time")
	}
	event := events.Add()
	event.Text("time", time)
	for _, name := range names {
		length, after, found := strings.Cut(rest, ":")
		size, err := strconv.ParseUint(length, 10, 31)
		if !found || err != nil {
			return errors.New("a field has no length")
		}
		if int(size) >= len(after) || after[size] != ',' {
			return errors.New("a field ends too early, or has no `,` at its end")
		}
		event.Text(name, after[:size])
		rest = after[size+1:]
	}
	return nil
}

func main() {}
