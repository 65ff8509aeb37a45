package normalizer_test

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/yagura/yagura/sdk/go/normalizer"
	"github.com/yagura/yagura/sdk/go/plugin"
	"github.com/yagura/yagura/sdk/go/yaguratest"
)

// words makes an event of each word, and does what some of them say.
type words struct{}

func init() {
	normalizer.Serve(func(config *plugin.Config) (normalizer.Normalizer, error) { return words{}, config.Err() })
}

func (words) Parse(record []byte, events *normalizer.Events) error {
	for _, word := range strings.Fields(string(record)) {
		switch word {
		case "wrong":
			return errors.New("a wrong word")
		case "retry":
			return plugin.RetryError("later")
		case "panic":
			panic("a panic")
		case "json":
			events.AddJSON(map[string]int{"a": 1})
		case "invalid":
			events.Add().JSON("a", "{")
		default:
			event := events.Add()
			event.Text("word", word)
			event.Int("length", int64(len(word)))
			event.Float("half", float64(len(word))/2)
			event.Float("none", math.NaN())
			event.Bool("is_long", len(word) > 3)
			event.JSON("list", "[1]")
		}
	}
	return nil
}

func TestARecordHasItsEventsOrAReason(t *testing.T) {
	events, err := yaguratest.Parse("", []byte("a\x01\\ json"))
	wanted := []string{
		`{"word":"a\u0001\\","length":3,"half":1.5,"is_long":false,"list":[1]}`, `{"a":1}`,
	}
	if err != nil || !reflect.DeepEqual(events, wanted) {
		t.Errorf("%q, %v", events, err)
	}
	if events, err := yaguratest.Parse("", nil); err != nil || len(events) != 0 {
		t.Errorf("%q, %v", events, err)
	}
	for record, reason := range map[string]string{
		"a wrong": "a wrong word", "panic": "a panic", "a invalid": "not valid JSON",
	} {
		events, err := yaguratest.Parse("", []byte(record))
		var data plugin.DataError
		if !errors.As(err, &data) || !strings.Contains(err.Error(), reason) || events != nil {
			t.Errorf("%s: %q, %v", record, events, err)
		}
	}
	var retry plugin.RetryError
	if _, err := yaguratest.Parse("", []byte("retry")); !errors.As(err, &retry) {
		t.Errorf("%v", err)
	}
}

func FuzzTextIsReadBack(f *testing.F) {
	for _, text := range []string{"", "a", "\"\\\n\r\t\x00\x1f\x7f", "櫓", "\u2028"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.ContainsAny(text, " \n\t\v\f\r\u0085\u00a0") || len(strings.Fields(text)) != 1 {
			t.Skip("not one word")
		}
		if map[string]bool{"wrong": true, "retry": true, "panic": true, "json": true, "invalid": true}[text] {
			t.Skip("a word with a meaning")
		}
		events, err := yaguratest.Parse("", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		var event struct{ Word string }
		if err := json.Unmarshal([]byte(events[0]), &event); err != nil || event.Word != strings.ToValidUTF8(text, "\uFFFD") && event.Word != string([]rune(text)) {
			t.Errorf("%q became %q, %v", text, event.Word, err)
		}
	})
}
