// Package yagura is for writing Yagura detectors in Go: one interface, one function. Package plugin says which packages are for
// other plugins.
//
// A detector looks its columns up once, by name and type, when it is opened, and evaluates batches of events in
// [Detector.OnBatch]. [Detect], called from init, says which rule it serves:
//
//	package main
//
//	import yagura "github.com/yagura/yagura/sdk/go"
//
//	type rootLogin struct {
//		userType, sourceIP yagura.TextColumn
//	}
//
//	func init() {
//		yagura.Detect("root-login", func(rule *yagura.Rule) (yagura.Detector, error) {
//			return &rootLogin{
//				userType: rule.Text("user_type"),
//				sourceIP: rule.Text("source_ip"),
//			}, nil
//		})
//	}
//
//	func (d *rootLogin) OnBatch(batch *yagura.Batch, findings *yagura.Findings) error {
//		for row := range batch.Rows() {
//			if d.userType.Or(row, "") == "Root" {
//				findings.Row(row).Observable(yagura.IP, d.sourceIP.Or(row, ""))
//			}
//		}
//		return nil
//	}
//
//	func main() {}
//
// A detector of a rule with `partition_by` may remember something of each key: [Batch.State]. One that speaks when time has
// passed also implements [Waker]; one that keeps a memory of its own, [Stateful]. Package
// yaguratest runs detectors natively, in unit tests, without any Wasm.
//
// The package has no dependency but Go's own library, and knows the plugin contract and nothing of the host.
package yagura
