package state

import (
	"encoding/binary"
	"math"
	"reflect"
	"testing"
)

// guest is a memory into which the host has written a text at an address.
func guest(text string) (memory func(address, bytes uint32) []byte, address uint32) {
	bytes := append(make([]byte, 64), text...)
	return func(address, count uint32) []byte { return bytes[address : address+count] }, 64
}

// written is an answer with bytes at places.
func written(at map[int]byte, words map[int]uint32) []byte {
	area := make([]byte, areaSize)
	for place, value := range at {
		area[place] = value
	}
	for place, value := range words {
		binary.LittleEndian.PutUint32(area[place:], value)
	}
	return area
}

func TestAnswersAreReadWhereTheyStand(t *testing.T) {
	memory, address := guest("full")
	if failure := readNothing(memory, written(nil, nil)); failure != nil {
		t.Errorf("success is %v", failure)
	}
	for kind, wanted := range []*Error{{Kind: NoScope}, {TooLarge, "full"}, {Kind: NotANumber}} {
		narrow := written(map[int]byte{0: 1, 4: byte(kind)}, map[int]uint32{8: address, 12: 4})
		wide := written(map[int]byte{0: 1, 8: byte(kind)}, map[int]uint32{12: address, 16: 4})
		_, inRule := readRule(memory, narrow)
		_, _, inValue := readValue(memory, narrow)
		_, inCount := readCount(memory, wide)
		for _, found := range []*Error{readNothing(memory, narrow), inRule, inValue, inCount} {
			if !reflect.DeepEqual(found, wanted) {
				t.Errorf("found %+v where %+v is wanted", found, wanted)
			}
		}
	}
	if rule, failure := readRule(memory, written(nil, map[int]uint32{4: 7})); rule != 7 || failure != nil {
		t.Errorf("the rule is %d, %v", rule, failure)
	}
	count, failure := readCount(memory, written(nil, map[int]uint32{8: 5, 12: 1}))
	if count != 1<<32+5 || failure != nil {
		t.Errorf("the count is %d, %v", count, failure)
	}
	value, found, failure := readValue(memory, written(map[int]byte{4: 1}, map[int]uint32{8: address, 12: 4}))
	if string(value) != "full" || !found || failure != nil {
		t.Errorf("the value is %q, %t, %v", value, found, failure)
	}
	if _, found, failure := readValue(memory, written(nil, nil)); found || failure != nil {
		t.Errorf("an absent value is %t, %v", found, failure)
	}
}

func TestSumsStayInBounds(t *testing.T) {
	for _, sum := range [][3]int64{
		{1, 2, 3}, {math.MaxInt64, 1, math.MaxInt64}, {math.MinInt64, -1, math.MinInt64}, {math.MaxInt64, math.MinInt64, -1},
	} {
		if found := add(sum[0], sum[1]); found != sum[2] {
			t.Errorf("%d and %d are %d", sum[0], sum[1], found)
		}
	}
}
