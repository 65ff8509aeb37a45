package main

import (
	"strconv"
	"unicode/utf8"

	yagura "github.com/yagura/yagura/sdk/go"
)

// shortestName is the fewest characters of which a share says something.
const shortestName = 8

// randomRole finds roles whose names have many digits.
type randomRole struct {
	// digits is the share of digits from which a name is found.
	digits   float64
	roleName yagura.TextColumn
	readOnly yagura.BooleanColumn
}

func init() {
	yagura.Detect("sample-random-role", func(rule *yagura.Rule) (yagura.Detector, error) {
		settings := struct {
			Digits float64 `json:"digits"`
		}{Digits: 0.3}
		rule.Config(&settings)
		return &randomRole{
			digits:   settings.Digits,
			roleName: rule.Text("request_parameters.roleName"),
			readOnly: rule.Boolean("read_only"),
		}, nil
	})
}

func (d *randomRole) OnBatch(batch *yagura.Batch, findings *yagura.Findings) error {
	for row := range batch.Rows() {
		name := d.roleName.Or(row, "")
		characters := utf8.RuneCountInString(name)
		if characters < shortestName {
			continue
		}
		share := float64(countDigits(name)) / float64(characters)
		if share < d.digits {
			continue
		}
		finding := findings.Row(row).
			Context("name", name).
			Context("share", strconv.FormatFloat(share, 'f', 3, 64))
		if d.readOnly.Or(row, false) {
			finding.Severity(yagura.Medium)
		}
	}
	return nil
}

// countDigits counts the ASCII digits.
func countDigits(name string) int {
	count := 0
	for index := range len(name) {
		if '0' <= name[index] && name[index] <= '9' {
			count++
		}
	}
	return count
}
