package yagura

import (
	"encoding/binary"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/yagura/yagura/sdk/go/internal/abi"
)

func field(name string, dataType abi.DataType) abi.Field {
	return abi.Field{Name: name, DataType: dataType, Nullable: true}
}

func offsets(values ...uint32) (bytes []byte) {
	for _, value := range values {
		bytes = binary.LittleEndian.AppendUint32(bytes, value)
	}
	return bytes
}

func numbers(values ...int64) (bytes []byte) {
	for _, value := range values {
		bytes = binary.LittleEndian.AppendUint64(bytes, uint64(value))
	}
	return bytes
}

// texts reads a batch of one text column: its values, with NULL for those that have none.
func texts(t *testing.T, rows int, column abi.Column) []string {
	t.Helper()
	schema := []abi.Field{field("name", abi.UTF8)}
	batch, err := newBatch(schema, &abi.Batch{Rows: uint32(rows), Columns: []abi.Column{column}})
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for row := range batch.Rows() {
		values = append(values, TextColumn{1}.Or(row, "NULL"))
	}
	return values
}

func TestABatchOfBytesReadsAsTheContractSays(t *testing.T) {
	schema := []abi.Field{
		field("name", abi.UTF8), field("count", abi.Int64), field("flag", abi.Boolean), field("at", abi.Timestamp),
	}
	batch, err := newBatch(schema, &abi.Batch{Rows: 3, Columns: []abi.Column{
		// "hé" is three bytes: the offsets cut it, which is not text.
		{Validity: []byte{0b101}, Offsets: offsets(0, 2, 2, 5), Values: []byte("héabc")},
		{Values: numbers(7, -1, 0)},
		{Values: []byte{0b110}},
		{Validity: []byte{0b110}, Values: numbers(7, -1, 0)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	names, counts := TextColumn{1}.In(batch), Int64Column{2}.In(batch)
	for row, wanted := range []string{"", "", "\xa9ab"} {
		if text, found := names.At(row); found && text != wanted {
			t.Errorf("row %d is %q", row, text)
		}
	}
	if !slices.Equal(counts.Values(), []int64{7, -1, 0}) || counts.HasNulls() || counts.Len() != 3 {
		t.Errorf("counts are %v", counts.Values())
	}
	flags, times := BooleanColumn{3}.In(batch), TimeColumn{4}.In(batch)
	if value, valid := flags.At(0); value || !valid {
		t.Error("row 0 is not false")
	}
	if value, valid := flags.At(2); !value || !valid {
		t.Error("row 2 is not true")
	}
	if _, valid := flags.At(3); valid {
		t.Error("there is a row 3")
	}
	if !times.IsNull(0) || times.IsNull(1) || !times.IsNull(3) || !times.IsNull(-1) {
		t.Error("NULL is not where it should be")
	}
	if (TimeColumn{4}).Or(batch.Row(0), 5) != 5 || (TimeColumn{4}).Or(batch.Row(1), 5) != -1 {
		t.Error("times are wrong")
	}
}

func TestInvalidUTF8CostsOnlyItsOwnValue(t *testing.T) {
	for _, test := range []struct {
		values  string
		offsets []uint32
		wanted  []string
	}{
		{"ok\xff\xfeok", []uint32{0, 2, 4, 6}, []string{"ok", "NULL", "ok"}},
		// The column as a whole is text; its values are not, where they are cut within a character.
		{"é櫓", []uint32{0, 1, 2, 5}, []string{"NULL", "NULL", "櫓"}},
		{"abc", []uint32{0, 3, 3, 3}, []string{"abc", "", ""}},
		// Out of range, or the end before the start.
		{"abc", []uint32{0, 9, 4, 2}, []string{"NULL", "NULL", "NULL"}},
		{"abc", []uint32{1, 0xffff_ffff, 3, 3}, []string{"NULL", "NULL", ""}},
	} {
		found := texts(t, 3, abi.Column{Offsets: offsets(test.offsets...), Values: []byte(test.values)})
		if !slices.Equal(found, test.wanted) {
			t.Errorf("%q with %v reads as %q", test.values, test.offsets, found)
		}
	}
}

func TestAColumnWithTooFewBytesIsRefusedByName(t *testing.T) {
	schema := []abi.Field{field("name", abi.UTF8), field("count", abi.Int64)}
	for wanted, columns := range map[string][]abi.Column{
		"column `name` of type utf8 came with 0 bytes of values, 4 of offsets and 0 of validity for 2 rows": {
			{Offsets: offsets(0)}, {Values: numbers(0, 0)},
		},
		"column `count` of type int64 came with 15 bytes of values, 0 of offsets and 0 of validity for 2 rows": {
			{Offsets: offsets(0, 0, 0)}, {Values: make([]byte, 15)},
		},
		"a batch has 1 columns where the rule's schema has 2": {{Offsets: offsets(0, 0, 0)}},
	} {
		_, err := newBatch(schema, &abi.Batch{Rows: 2, Columns: columns})
		if _, isData := err.(DataError); !isData || err.Error() != wanted {
			t.Errorf("%v, not %s", err, wanted)
		}
	}
	column := abi.Column{Validity: []byte{1}, Values: make([]byte, 2)}
	if _, err := newBatch(schema[:0], &abi.Batch{Rows: 9, Columns: []abi.Column{column}}); err == nil {
		t.Error("a column too many is let through")
	}
	flags := []abi.Field{field("flag", abi.Boolean)}
	if _, err := newBatch(flags, &abi.Batch{Rows: 9, Columns: []abi.Column{column}}); err == nil {
		t.Error("too few bits of validity are let through")
	}
}

func TestNumbersAreRightWhateverTheAlignment(t *testing.T) {
	wanted := make([]int64, 60)
	for index := range wanted {
		wanted[index] = int64(index-3) * 0x0102_0304_0506
	}
	for shift := range 8 {
		bytes := append(make([]byte, shift), numbers(wanted...)...)
		if found := words[int64](bytes[shift:]); !slices.Equal(found, wanted) {
			t.Errorf("shifted by %d they are %v", shift, found)
		}
	}
}

func TestOneByteAnywhereMakesTextNoASCII(t *testing.T) {
	for length := range 150 {
		bytes := []byte(strings.Repeat("a", length))
		if !isASCII(bytes) {
			t.Errorf("%d bytes of ASCII are none", length)
		}
		for at := range bytes {
			bytes[at] = 0x80
			if isASCII(bytes) {
				t.Errorf("byte %d of %d is passed over", at, length)
			}
			bytes[at] = 0x7f
		}
	}
}

// What the host hands over lies in memory from Go's own allocator (internal/abi, realloc), and values are views of it: the
// collector keeps the memory for as long as a value is kept, and no longer. So a detector may keep strings from batch to
// batch. This test drops everything but one string, has the collector run, and overwrites what became free.
func TestAStringOutlivesItsBatch(t *testing.T) {
	kept := func() string {
		raw := abi.Column{Offsets: offsets(0, 5, 10), Values: []byte(strings.Repeat("alice", 2))}
		return texts(t, 2, raw)[1]
	}()
	for range 3 {
		runtime.GC()
		for range 1000 {
			_ = append([]byte(nil), "XXXXXXXXXX"...)
		}
	}
	if kept != "alice" {
		t.Errorf("the string became %q", kept)
	}
}

func TestHandlesOfNoColumnSaySo(t *testing.T) {
	batch := &Batch{rows: 1, columns: make([]column, 1)}
	for place, wanted := range map[int]string{0: "never looked up", 2: "another rule"} {
		func() {
			defer func() {
				if message, _ := recover().(string); !strings.Contains(message, wanted) {
					t.Errorf("place %d: %q", place, message)
				}
			}()
			TextColumn{place}.In(batch)
		}()
	}
}
