package detection

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/yagura/yagura/sdk/go/internal/abi"
)

// base is where tests pretend that an answer lies.
const base = 0x1000

// reader lifts answers as the host does, with every pointer and alignment checked.
type reader struct {
	t      *testing.T
	memory []byte
}

func (r reader) word(at uint32) uint32 {
	r.t.Helper()
	if at%4 != 0 {
		r.t.Fatalf("address %#x is not aligned", at)
	}
	return binary.LittleEndian.Uint32(r.memory[at-base:])
}

func (r reader) list(at, size uint32) (start, count uint32) {
	start, count = r.word(at), r.word(at+4)
	if count > 0 && (start < base || start-base+count*size > uint32(len(r.memory))) {
		r.t.Fatalf("a list of %d elements at %#x lies outside", count, start)
	}
	return start, count
}

func (r reader) text(at uint32) string {
	start, count := r.list(at, 1)
	if count == 0 {
		return ""
	}
	return string(r.memory[start-base : start-base+count])
}

func (r reader) optional(at uint32) *string {
	switch r.memory[at-base] {
	case 0:
		return nil
	case 1:
		text := r.text(at + 4)
		return &text
	}
	r.t.Fatalf("an option at %#x is neither", at)
	return nil
}

func (r reader) pairs(at uint32) [][2]string {
	start, count := r.list(at, 16)
	var pairs [][2]string
	for index := range count {
		pairs = append(pairs, [2]string{r.text(start + 16*index), r.text(start + 16*index + 8)})
	}
	return pairs
}

func (r reader) finding(at uint32) *Finding {
	finding := &Finding{
		Title:       r.optional(at + 8),
		Key:         r.optional(at + 24),
		Observables: r.pairs(at + 36),
		Context:     r.pairs(at + 44),
	}
	if r.memory[at+20-base] == 1 {
		finding.Severity = r.memory[at+21-base] + 1
	}
	start, count := r.list(at, 4)
	for index := range count {
		finding.Rows = append(finding.Rows, r.word(start+4*index))
	}
	return finding
}

func randomFinding(random *rand.Rand) *Finding {
	texts := func() string { return strings.Repeat("櫓a", random.IntN(9)) }
	optional := func() *string {
		if random.IntN(2) == 0 {
			return nil
		}
		text := texts()
		return &text
	}
	pairs := func() (pairs [][2]string) {
		for range random.IntN(4) {
			pairs = append(pairs, [2]string{texts(), texts()})
		}
		return pairs
	}
	finding := &Finding{
		Title: optional(), Severity: uint8(random.IntN(6)), Key: optional(), Observables: pairs(), Context: pairs(),
	}
	for range random.IntN(5) {
		finding.Rows = append(finding.Rows, random.Uint32())
	}
	return finding
}

func TestFindingsComeBackAsTheyWere(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 500 {
		var findings []*Finding
		var byRule []RuleFinding
		for range random.IntN(20) {
			findings = append(findings, randomFinding(random))
			byRule = append(byRule, RuleFinding{Rule: random.Uint32(), Finding: randomFinding(random)})
		}

		read := reader{t, answerFindings(findings, nil).Finish(base)}
		start, count := read.list(base+abi.ResultValue, findingSize)
		var found []*Finding
		for index := range count {
			found = append(found, read.finding(start+findingSize*index))
		}
		if read.memory[0] != 0 || !reflect.DeepEqual(found, findings) {
			t.Fatal("findings differ")
		}

		read = reader{t, answerRuleFindings(byRule, nil).Finish(base)}
		start, count = read.list(base+abi.ResultValue, ruleFindingSize)
		var foundByRule []RuleFinding
		for index := range count {
			at := start + ruleFindingSize*index
			foundByRule = append(foundByRule, RuleFinding{Rule: read.word(at), Finding: read.finding(at + 4)})
		}
		if read.memory[0] != 0 || !reflect.DeepEqual(foundByRule, byRule) {
			t.Fatal("findings of rules differ")
		}
	}
}

func TestErrorsAndBytesComeBackAsTheyWere(t *testing.T) {
	for _, kind := range []abi.ErrorKind{abi.Config, abi.Data, abi.Retry} {
		failure := &abi.Error{Kind: kind, Message: "no ' \xff"}
		for name, answer := range map[string]*abi.Answer{
			"nothing":       answerNothing(failure),
			"bytes":         answerBytes(nil, failure),
			"findings":      answerFindings(nil, failure),
			"rule findings": answerRuleFindings(nil, failure),
		} {
			read := reader{t, answer.Finish(base)}
			discriminants := fmt.Sprint(read.memory[0], read.memory[4])
			if discriminants != fmt.Sprint(1, kind) || read.text(base+8) != "no ' \uFFFD" {
				t.Errorf("%s: %s %q", name, discriminants, read.text(base+8))
			}
		}
	}
	if nothing := answerNothing(nil).Finish(base); !slices.Equal(nothing, make([]byte, 16)) {
		t.Errorf("success is %v", nothing)
	}
	read := reader{t, answerBytes([]byte{1, 255}, nil).Finish(base)}
	if read.memory[0] != 0 || read.text(base+4) != "\x01\xff" {
		t.Error("bytes differ")
	}
	read = reader{t, answerRules([]string{"one", "櫓"}).Finish(base)}
	start, count := read.list(base, 8)
	if count != 2 || read.text(start) != "one" || read.text(start+8) != "櫓" {
		t.Error("rules differ")
	}
}

// host writes arguments as the host does: at addresses in a memory that it asks for piece by piece.
type host struct{ memory []byte }

func (h *host) put(bytes []byte) []byte {
	for len(h.memory)%8 != 0 {
		h.memory = append(h.memory, 0xee)
	}
	at := uint32(len(h.memory))
	h.memory = append(h.memory, bytes...)
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, at), uint32(len(bytes)))
}

func (h *host) at(address, bytes uint32) []byte {
	return h.memory[address : address+bytes]
}

func TestArgumentsAreReadWhereTheyStand(t *testing.T) {
	host := &host{memory: []byte{0xee}}
	fields := slices.Concat(
		host.put([]byte("user_name")), []byte{byte(abi.UTF8), 1, 0xee, 0xee},
		host.put([]byte("at")), []byte{byte(abi.Timestamp), 0, 0xee, 0xee})
	schema := host.put(fields)
	binary.LittleEndian.PutUint32(schema[4:], 2)
	list := slices.Concat(host.put([]byte("root-login")), host.put([]byte("{}")), schema)
	at := binary.LittleEndian.Uint32(host.put(list))
	wanted := []Rule{{ID: "root-login", Config: "{}", Schema: []abi.Field{
		{Name: "user_name", DataType: abi.UTF8, Nullable: true}, {Name: "at", DataType: abi.Timestamp},
	}}}
	if found := readRules(host.at, at, 1); !reflect.DeepEqual(found, wanted) {
		t.Errorf("found %+v", found)
	}

	list = slices.Concat(host.put([]byte{1}), host.put([]byte{2, 3, 4, 5}), make([]byte, 8))
	at = binary.LittleEndian.Uint32(host.put(list))
	columns := abi.Memory(host.at).Columns(at, 1)
	if !reflect.DeepEqual(columns, []abi.Column{{Validity: []byte{1}, Offsets: []byte{2, 3, 4, 5}}}) {
		t.Errorf("found %+v", columns)
	}
}
