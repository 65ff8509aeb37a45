// Package wittest lays out values in memory as the contract's text says, by the canonical ABI: what tests hold the SDK's own
// layouts against. Values are plain: records are maps by field, lists and tuples slices, enums their names, variants and
// results a [Case], options nil or the value, whole numbers int64.
package wittest

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Record is a record by field.
type Record = map[string]any

// Case is a case of a variant, or `ok` or `err` of a result.
type Case struct {
	Name  string
	Value any
}

// Contract is the types of the contract by name.
type Contract struct {
	t     testing.TB
	types map[string]declared
}

// declared is a type that the contract declares: its members with their types, which are empty for enums.
type declared struct {
	kind    string
	names   []string
	members []string
}

// Load reads the contract, which lies beside the SDK in its repository; a test without it is skipped.
func Load(t testing.TB) *Contract {
	contract := &Contract{t: t, types: map[string]declared{}}
	for _, name := range []string{"types.wit", "worlds.wit"} {
		text, err := os.ReadFile(filepath.Join("../../../../wit/v0.1.0", name))
		if errors.Is(err, fs.ErrNotExist) {
			t.Skip("the contract is not part of the published module")
		}
		if err != nil {
			t.Fatal(err)
		}
		contract.parse(regexp.MustCompile(`//.*`).ReplaceAllString(string(text), ""))
	}
	return contract
}

func (c *Contract) parse(text string) {
	for _, found := range regexp.MustCompile(`(record|enum|variant) ([a-z-]+)\s*\{([^}]*)\}`).FindAllStringSubmatch(text, -1) {
		made := declared{kind: found[1]}
		for _, member := range split(found[3]) {
			name, of, _ := strings.Cut(strings.TrimPrefix(member, "%"), ":")
			if made.kind == "variant" {
				name, of, _ = strings.Cut(strings.TrimSuffix(member, ")"), "(")
			}
			made.names = append(made.names, strings.TrimSpace(name))
			made.members = append(made.members, strings.TrimSpace(of))
		}
		c.types[found[2]] = made
	}
	for _, found := range regexp.MustCompile(`type ([a-z-]+) = ([a-z0-9-]+);`).FindAllStringSubmatch(text, -1) {
		c.types[found[1]] = declared{kind: "type", members: []string{found[2]}}
	}
}

// resolve returns a type's kind, its cases' or fields' names, and their types.
func (c *Contract) resolve(of string) declared {
	if made, known := c.types[of]; known {
		if made.kind == "type" {
			return c.resolve(made.members[0])
		}
		return made
	}
	head, rest, _ := strings.Cut(strings.TrimSuffix(of, ">"), "<")
	members := split(rest)
	switch head {
	case "option":
		return declared{kind: "variant", names: []string{"none", "some"}, members: []string{"", members[0]}}
	case "result":
		for index := range members {
			members[index] = strings.TrimPrefix(members[index], "_")
		}
		return declared{kind: "variant", names: []string{"ok", "err"}, members: members}
	case "tuple":
		return declared{kind: "record", members: members}
	}
	return declared{kind: head, members: members}
}

// Layout returns size and alignment of a type.
func (c *Contract) Layout(of string) (size, align int) {
	if of == "" {
		return 0, 1
	}
	made := c.resolve(of)
	switch made.kind {
	case "bool", "u8", "enum":
		return 1, 1
	case "u16":
		return 2, 2
	case "u32":
		return 4, 4
	case "u64", "s64":
		return 8, 8
	case "string", "list":
		return 8, 4
	case "record":
		align = 1
		for _, member := range made.members {
			memberSize, memberAlign := c.Layout(member)
			size = up(size, memberAlign) + memberSize
			align = max(align, memberAlign)
		}
		return up(size, align), align
	case "variant":
		align = 1
		for _, member := range made.members {
			memberSize, memberAlign := c.Layout(member)
			size, align = max(size, memberSize), max(align, memberAlign)
		}
		return up(align+size, align), align
	}
	c.t.Fatalf("the contract has no type `%s`", of)
	return 0, 0
}

// Write returns memory with a value of a type, and where it is. Bytes that mean nothing are not zero.
func (c *Contract) Write(of string, value any) (memory []byte, at int) {
	writer := &writer{c, []byte{0xee}}
	size, align := c.Layout(of)
	at = writer.reserve(size, align)
	writer.put(of, value, at)
	return writer.memory, at
}

type writer struct {
	*Contract
	memory []byte
}

func (w *writer) reserve(size, align int) int {
	start := up(len(w.memory), align)
	for len(w.memory) < start+size {
		w.memory = append(w.memory, 0xee)
	}
	return start
}

func (w *writer) put(of string, value any, at int) {
	made := w.resolve(of)
	switch made.kind {
	case "bool":
		w.memory[at] = 0
		if value.(bool) {
			w.memory[at] = 1
		}
	case "u8", "u16", "u32", "u64", "s64":
		size, _ := w.Layout(of)
		bits := binary.LittleEndian.AppendUint64(nil, uint64(value.(int64)))
		copy(w.memory[at:at+size], bits)
	case "enum":
		w.memory[at] = byte(w.index(made, value.(string)))
	case "string":
		start := w.reserve(len(value.(string)), 1)
		copy(w.memory[start:], value.(string))
		w.pointer(at, start, len(value.(string)))
	case "list":
		list := value.([]any)
		size, align := w.Layout(made.members[0])
		start := w.reserve(size*len(list), align)
		for index, element := range list {
			w.put(made.members[0], element, start+size*index)
		}
		w.pointer(at, start, len(list))
	case "record":
		w.fields(made, at, func(index, at int) {
			if made.names == nil {
				w.put(made.members[index], value.([]any)[index], at)
				return
			}
			member, found := value.(Record)[made.names[index]]
			if !found {
				w.t.Fatalf("the value of `%s` has no `%s`", of, made.names[index])
			}
			w.put(made.members[index], member, at)
		})
	case "variant":
		chosen, isCase := value.(Case)
		if !isCase {
			chosen = Case{"some", value}
			if value == nil {
				chosen = Case{Name: "none"}
			}
		}
		index := w.index(made, chosen.Name)
		w.memory[at] = byte(index)
		if made.members[index] != "" {
			_, align := w.Layout(of)
			w.put(made.members[index], chosen.Value, at+align)
		}
	default:
		w.t.Fatalf("the contract has no type `%s`", of)
	}
}

func (w *writer) pointer(at, start, count int) {
	binary.LittleEndian.PutUint32(w.memory[at:], uint32(start))
	binary.LittleEndian.PutUint32(w.memory[at+4:], uint32(count))
}

// Read returns the value of a type that stands in memory whose first byte has the address `base`; it checks that all of it
// lies inside and is aligned.
func (c *Contract) Read(of string, memory []byte, base, at int) any {
	c.t.Helper()
	size, align := c.Layout(of)
	if at%align != 0 || at < base || at-base+size > len(memory) {
		c.t.Fatalf("a `%s` stands at %d of %d bytes from %d", of, at, len(memory), base)
	}
	made := c.resolve(of)
	place := memory[at-base:]
	switch made.kind {
	case "bool":
		return place[0] == 1
	case "u8", "u16", "u32", "u64", "s64":
		bits := make([]byte, 8)
		copy(bits, place[:size])
		return int64(binary.LittleEndian.Uint64(bits))
	case "enum":
		return made.names[place[0]]
	case "string", "list":
		start, count := int(binary.LittleEndian.Uint32(place)), int(binary.LittleEndian.Uint32(place[4:]))
		if made.kind == "string" {
			if count == 0 {
				return ""
			}
			return string(memory[start-base : start-base+count])
		}
		list := []any{}
		elementSize, _ := c.Layout(made.members[0])
		for index := range count {
			list = append(list, c.Read(made.members[0], memory, base, start+elementSize*index))
		}
		return list
	case "record":
		named, listed := Record{}, []any{}
		c.fields(made, at, func(index, at int) {
			value := c.Read(made.members[index], memory, base, at)
			if made.names == nil {
				listed = append(listed, value)
			} else {
				named[made.names[index]] = value
			}
		})
		if made.names == nil {
			return listed
		}
		return named
	case "variant":
		chosen := Case{Name: made.names[place[0]]}
		if member := made.members[place[0]]; member != "" {
			chosen.Value = c.Read(member, memory, base, at+align)
		}
		switch chosen.Name {
		case "none", "some":
			return chosen.Value
		}
		return chosen
	}
	c.t.Fatalf("the contract has no type `%s`", of)
	return nil
}

func (c *Contract) fields(made declared, at int, visit func(index, at int)) {
	for index, member := range made.members {
		size, align := c.Layout(member)
		at = up(at, align)
		visit(index, at)
		at += size
	}
}

func (c *Contract) index(made declared, name string) int {
	for index, known := range made.names {
		if known == name {
			return index
		}
	}
	c.t.Fatalf("`%s` is none of %q", name, made.names)
	return 0
}

// split splits at commas that are not between angle brackets.
func split(text string) []string {
	var parts []string
	depth, start := 0, 0
	for index, character := range text + "," {
		switch character {
		case '<':
			depth++
		case '>':
			depth--
		case ',':
			if depth > 0 {
				continue
			}
			if part := strings.TrimSpace((text + ",")[start:index]); part != "" {
				parts = append(parts, part)
			}
			start = index + 1
		}
	}
	return parts
}

func up(at, align int) int {
	return (at + align - 1) / align * align
}
