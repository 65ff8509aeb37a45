// A plugin of which every detector breaks one promise. The rule's id chooses how; each reads one text column, `name`.
package main

import (
	crypto "crypto/rand"
	"encoding/hex"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	yagura "github.com/yagura/yagura/sdk/go"
)

// behaviours are what a rule's id makes of the names in a batch. Each has a test in tests/it.
var behaviours = []struct {
	id    string
	evaluate func(batch *yagura.Batch, name yagura.TextColumn, findings *yagura.Findings)
}{
	// Uses too much.
	{"endless-loop", endlessLoop},
	{"memory-hog", memoryHog},
	{"stack-overflow", stackOverflow},
	{"deadlock", deadlock},
	// Makes a mistake, which is reported with its place.
	{"panic", indexOutOfRange},
	{"nil-map", nilMap},
	// Ends the instance.
	{"exit", exit},
	{"goroutine-panic", goroutinePanic},
	// Looks at the world outside, harmlessly.
	{"print", print},
	{"clock", clock},
}

// hostile is a detector with one of the behaviours.
type hostile struct {
	name  yagura.TextColumn
	evaluate func(batch *yagura.Batch, name yagura.TextColumn, findings *yagura.Findings)
}

func init() {
	for _, behaviour := range behaviours {
		yagura.Detect(behaviour.id, func(rule *yagura.Rule) (yagura.Detector, error) {
			return &hostile{name: rule.Text("name"), evaluate: behaviour.evaluate}, nil
		})
	}
}

func (h *hostile) OnBatch(batch *yagura.Batch, findings *yagura.Findings) error {
	h.evaluate(batch, h.name, findings)
	return nil
}

func main() {}

func endlessLoop(*yagura.Batch, yagura.TextColumn, *yagura.Findings) {
	for turn := uint64(0); ; turn++ {
		sink = turn
	}
}

func memoryHog(*yagura.Batch, yagura.TextColumn, *yagura.Findings) {
	var hoard [][]byte
	for {
		piece := make([]byte, 1<<20)
		for index := range piece {
			piece[index] = byte(index)
		}
		hoard = append(hoard, piece)
		sink = uint64(len(hoard))
	}
}

func stackOverflow(batch *yagura.Batch, _ yagura.TextColumn, _ *yagura.Findings) {
	sink = deeper(uint64(batch.Len()))
}

// deeper never comes to an end, which nothing in it shows to the compiler.
func deeper(depth uint64) uint64 {
	if depth == sink {
		return depth
	}
	return deeper(depth+1) + 1
}

func deadlock(*yagura.Batch, yagura.TextColumn, *yagura.Findings) {
	<-make(chan struct{})
}

func indexOutOfRange(batch *yagura.Batch, name yagura.TextColumn, _ *yagura.Findings) {
	for row := range batch.Rows() {
		sink = uint64(characterAt(name.Or(row, ""), 1000))
	}
}

// characterAt makes the mistake: the error names it, this file and the line of the index.
func characterAt(text string, index int) byte {
	return text[index]
}

func nilMap(batch *yagura.Batch, name yagura.TextColumn, _ *yagura.Findings) {
	var seen map[string]int
	for row := range batch.Rows() {
		seen[name.Or(row, "")]++
	}
}

func exit(*yagura.Batch, yagura.TextColumn, *yagura.Findings) {
	os.Exit(3)
}

func goroutinePanic(*yagura.Batch, yagura.TextColumn, *yagura.Findings) {
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		panic("in a goroutine of its own")
	}()
	<-finished
}

func print(batch *yagura.Batch, name yagura.TextColumn, findings *yagura.Findings) {
	for row := range batch.Rows() {
		fmt.Println("printed:", name.Or(row, "nobody"))
		log.Println("logged:", name.Or(row, "nobody"))
		findings.Row(row)
	}
}

// clock puts into the context what differs from run to run outside of the sandbox.
func clock(batch *yagura.Batch, _ yagura.TextColumn, findings *yagura.Findings) {
	start := time.Now()
	time.Sleep(time.Millisecond)
	slept := time.Since(start)
	var bytes [8]byte
	if _, err := crypto.Read(bytes[:]); err != nil {
		panic(err)
	}
	// Go gives map iteration a random start.
	order := ""
	for letter := range map[string]bool{"a": true, "b": true, "c": true, "d": true} {
		order += letter
	}
	for row := range batch.Rows() {
		findings.Row(row).
			Context("now", start.UTC().Format(time.RFC3339Nano)).
			Context("slept", slept.String()).
			Context("random", strconv.FormatUint(rand.Uint64(), 16)).
			Context("crypto", hex.EncodeToString(bytes[:])).
			Context("order", order)
	}
}

// sink keeps the compiler from leaving work out.
var sink uint64
