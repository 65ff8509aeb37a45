package yagura_test

import (
	"encoding/binary"
	"fmt"

	yagura "github.com/yagura/yagura/sdk/go"
	"github.com/yagura/yagura/sdk/go/yaguratest"
)

// rootLogin finds logins of the root user; those without a second factor are critical.
type rootLogin struct {
	userType, mfa, sourceIP yagura.TextColumn
}

func (d *rootLogin) OnBatch(batch *yagura.Batch, findings *yagura.Findings) error {
	for row := range batch.Rows() {
		if d.userType.Or(row, "") != "Root" {
			continue
		}
		finding := findings.Row(row).Observable(yagura.IP, d.sourceIP.Or(row, ""))
		if d.mfa.Or(row, "") != "Yes" {
			finding.Severity(yagura.Critical).Title("Root login without MFA")
		}
	}
	return nil
}

func openRootLogin(rule *yagura.Rule) (yagura.Detector, error) {
	// No lookup needs a check: the first that fails is reported when this returns.
	return &rootLogin{
		userType: rule.Text("user_type"),
		mfa:      rule.Text("additional_event_data.MFAUsed"),
		sourceIP: rule.Text("source_ip"),
	}, nil
}

// In a plugin this stands in an init function of package main, whose main function is empty; in its tests, Evaluate.
func Example() {
	yagura.Detect("root-login", openRootLogin)

	events := yaguratest.NewEvents().
		Text("user_type", "Root", "IAMUser").
		Text("additional_event_data.MFAUsed", nil, "No").
		Text("source_ip", "198.51.100.7", "10.0.0.1")
	findings, err := yaguratest.Evaluate("root-login", events)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, finding := range findings {
		fmt.Println(finding.Rows, finding.Severity, finding.Title, finding.Observables)
	}
	// Output: [0] critical Root login without MFA [[ip 198.51.100.7]]
}

func ExampleRule_Config() {
	yagura.Detect("large-transfer", func(rule *yagura.Rule) (yagura.Detector, error) {
		settings := struct {
			Bytes int64 `json:"bytes"`
		}{Bytes: 1 << 30}
		rule.Config(&settings)
		return &largeTransfer{bytes: rule.Int64("bytes_out"), least: settings.Bytes}, nil
	})

	events := yaguratest.NewEvents().Int64("bytes_out", 4096, 10, nil)
	findings, err := yaguratest.EvaluateRule(yaguratest.Rule{ID: "large-transfer", Config: `{"bytes": 1000}`}, events)
	fmt.Println(len(findings), err)
	_, err = yaguratest.EvaluateRule(yaguratest.Rule{ID: "large-transfer", Config: `{"byte": 1000}`}, events)
	fmt.Println(err)
	// Output:
	// 1 <nil>
	// rule `large-transfer`: `rule.config` has the key `byte`, which the plugin does not know: it knows `bytes`
}

type largeTransfer struct {
	bytes yagura.Int64Column
	least int64
}

// A view of a column is the fastest way to read many rows.
func (d *largeTransfer) OnBatch(batch *yagura.Batch, findings *yagura.Findings) error {
	bytes := d.bytes.In(batch)
	for row, sent := range bytes.Values() {
		if sent >= d.least && !bytes.IsNull(row) {
			findings.Row(batch.Row(row))
		}
	}
	return nil
}

// A detector that counts over batches keeps its count through a restart by Snapshot and Restore, and speaks when the
// watermark says that time has passed.
func ExampleStateful() {
	yagura.Detect("failures", func(*yagura.Rule) (yagura.Detector, error) { return new(failures), nil })

	events := yaguratest.NewEvents().Text("error_code", "AccessDenied", "AccessDenied")
	before, _ := yaguratest.Open(yaguratest.Rule{ID: "failures"}, events)
	_, _ = before.Batch(events)
	state, _ := before.Snapshot()

	after, _ := yaguratest.Open(yaguratest.Rule{ID: "failures"}, events)
	_ = after.Restore(state)
	_, _ = after.Batch(events)
	findings, _ := after.Watermark(1_700_000_000_000_000)
	fmt.Println(findings[0].Title)
	// Output: 4 failures
}

type failures struct{ count uint32 }

func (d *failures) OnBatch(batch *yagura.Batch, _ *yagura.Findings) error {
	d.count += uint32(batch.Len())
	return nil
}

func (d *failures) OnWatermark(_ int64, findings *yagura.Findings) error {
	findings.AtWatermark().Title(fmt.Sprintf("%d failures", d.count))
	return nil
}

func (d *failures) Snapshot() ([]byte, error) {
	return binary.LittleEndian.AppendUint32(nil, d.count), nil
}

func (d *failures) Restore(state []byte) error {
	if len(state) != 4 {
		return yagura.DataError("the state is not four bytes")
	}
	d.count = binary.LittleEndian.Uint32(state)
	return nil
}
