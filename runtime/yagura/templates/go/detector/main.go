// The code behind the pack's rules. `go test .` runs it natively; `yagura test ..` as a component on recorded logs.
package main

import yagura "github.com/yagura/yagura/sdk/go"

// rootLogin finds logins of the root user.
type rootLogin struct {
	userType, mfa yagura.TextColumn
}

// newRootLogin looks the columns up once: a wrong name or type is an error before the first event, and needs no check here.
func newRootLogin(rule *yagura.Rule) (yagura.Detector, error) {
	return &rootLogin{
		userType: rule.Text("user_type"),
		mfa:      rule.Text("additional_event_data.MFAUsed"),
	}, nil
}

// OnBatch gets any number of events that passed the rule's `where`: evaluate rows, never batches.
func (d *rootLogin) OnBatch(batch *yagura.Batch, findings *yagura.Findings) error {
	for row := range batch.Rows() {
		if d.userType.Or(row, "") != "Root" {
			continue
		}
		// A finding counts as it is, with the rule's title and severity; what is said here replaces them.
		finding := findings.Row(row)
		if d.mfa.Or(row, "") != "Yes" {
			finding.Severity(yagura.Critical).Title("Root login without a second factor")
		}
	}
	return nil
}

// Rule id to detector, a line each.
func init() {
	yagura.Detect("root-login", newRootLogin)
}

func main() {}
