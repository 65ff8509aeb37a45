package normalizer

import (
	"encoding/json"
	"math"
	"strconv"
	"unicode/utf8"
)

// Events collects events, as JSON text.
type Events struct {
	text []byte
	// ends has where each event ends in the text.
	ends []uint32
	// isOpen says that the last event is under construction, isEmpty that it has no field yet.
	isOpen, isEmpty bool
	// failure is what went wrong first in the record.
	failure error
}

// Event is an event under construction, until the next one is added or the record ends. Each method adds a field; a path such
// as `client.ip` is one name, which expressions read like nested objects.
type Event Events

// Add begins an event.
func (e *Events) Add() *Event {
	e.end()
	e.isOpen, e.isEmpty = true, true
	e.text = append(e.text, '{')
	return (*Event)(e)
}

// AddJSON adds an event by the rules of encoding/json: a struct or a map.
func (e *Events) AddJSON(event any) {
	e.end()
	text, err := json.Marshal(event)
	if err != nil {
		e.fail(err)
		return
	}
	e.text = append(e.text, text...)
	e.ends = append(e.ends, uint32(len(e.text)))
}

// Text adds a text.
func (e *Event) Text(name, value string) {
	e.name(name)
	e.text = appendQuoted(e.text, value)
}

// Int adds a whole number.
func (e *Event) Int(name string, value int64) {
	e.name(name)
	e.text = strconv.AppendInt(e.text, value, 10)
}

// Float adds a number; one that is not finite is left out.
func (e *Event) Float(name string, value float64) {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return
	}
	e.name(name)
	e.text = strconv.AppendFloat(e.text, value, 'g', -1, 64)
}

// Bool adds a truth value.
func (e *Event) Bool(name string, value bool) {
	e.name(name)
	e.text = strconv.AppendBool(e.text, value)
}

// JSON adds a value that is JSON text, such as an object or an array. A text that is not valid makes the record malformed.
func (e *Event) JSON(name, value string) {
	if !json.Valid([]byte(value)) {
		(*Events)(e).fail(errInvalid)
		return
	}
	e.name(name)
	e.text = append(e.text, value...)
}

func (e *Event) name(name string) {
	if !e.isEmpty {
		e.text = append(e.text, ',')
	}
	e.isEmpty = false
	e.text = append(appendQuoted(e.text, name), ':')
}

// end closes the event under construction.
func (e *Events) end() {
	if e.isOpen {
		e.isOpen = false
		e.text = append(e.text, '}')
		e.ends = append(e.ends, uint32(len(e.text)))
	}
}

func (e *Events) fail(err error) {
	if e.failure == nil {
		e.failure = err
	}
}

// mark returns how many events there are.
func (e *Events) mark() int {
	return len(e.ends)
}

// back takes back all but the first events, with what went wrong.
func (e *Events) back(count int) {
	e.isOpen, e.failure = false, nil
	e.ends = e.ends[:count]
	end := 0
	if count > 0 {
		end = int(e.ends[count-1])
	}
	e.text = e.text[:end]
}

// appendQuoted appends a text as a JSON string. Bytes that are not UTF-8 become the replacement character.
func appendQuoted(to []byte, text string) []byte {
	const digits = "0123456789abcdef"
	to = append(to, '"')
	start := 0
	for at := 0; at < len(text); {
		letter := text[at]
		if letter >= utf8.RuneSelf {
			decoded, size := utf8.DecodeRuneInString(text[at:])
			if decoded == utf8.RuneError && size == 1 {
				to = append(append(to, text[start:at]...), "\uFFFD"...)
				start = at + 1
			}
			at += size
			continue
		}
		if letter < ' ' || letter == '"' || letter == '\\' {
			to = append(to, text[start:at]...)
			switch letter {
			case '"', '\\':
				to = append(to, '\\', letter)
			case '\n':
				to = append(to, `\n`...)
			case '\r':
				to = append(to, `\r`...)
			case '\t':
				to = append(to, `\t`...)
			default:
				to = append(to, '\\', 'u', '0', '0', digits[letter>>4], digits[letter&15])
			}
			start = at + 1
		}
		at++
	}
	return append(append(to, text[start:]...), '"')
}
