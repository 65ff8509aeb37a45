package main

import (
	"strconv"

	yagura "github.com/yagura/yagura/sdk/go"
)

// consoleLogin finds console logins without a second factor.
type consoleLogin struct {
	eventTime yagura.TimeColumn
	userType  yagura.TextColumn
	userName  yagura.TextColumn
	mfa       yagura.TextColumn
}

func init() {
	yagura.Detect("sample-console-login", func(rule *yagura.Rule) (yagura.Detector, error) {
		return &consoleLogin{
			eventTime: rule.Time("event_time"),
			userType:  rule.Text("user_type"),
			userName:  rule.Text("user_name"),
			mfa:       rule.Text("additional_event_data.MFAUsed"),
		}, nil
	})
}

func (d *consoleLogin) OnBatch(batch *yagura.Batch, findings *yagura.Findings) error {
	for row := range batch.Rows() {
		mfa := d.mfa.Or(row, "")
		if mfa == "Yes" {
			continue
		}
		finding := findings.Row(row)
		if d.userType.Or(row, "") == "Root" {
			finding.Severity(yagura.Critical)
			finding.Title("Root login without a second factor by " + d.userName.Or(row, "nobody"))
		}
		if time, known := d.eventTime.Get(row); known {
			finding.Context("time", strconv.FormatInt(time, 10))
		}
		finding.Context("mfa", mfa)
	}
	return nil
}
