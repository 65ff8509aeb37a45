package main

import (
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"

	yagura "github.com/yagura/yagura/sdk/go"
)

// openIngress finds security groups that let the whole internet reach a port.
type openIngress struct {
	publicPorts []int64
	permissions yagura.TextColumn
	group       yagura.TextColumn
}

func init() {
	yagura.Detect("sample-open-ingress", func(rule *yagura.Rule) (yagura.Detector, error) {
		var settings struct {
			PublicPorts []int64 `json:"public_ports"`
		}
		rule.Config(&settings)
		return &openIngress{
			publicPorts: settings.PublicPorts,
			permissions: rule.Text("request_parameters.ipPermissions"),
			group:       rule.Text("request_parameters.groupId"),
		}, nil
	})
}

func (d *openIngress) OnBatch(batch *yagura.Batch, findings *yagura.Findings) error {
	for row := range batch.Rows() {
		text, known := d.permissions.Get(row)
		if !known {
			continue
		}
		var ports []string
		remote := false
		for _, opened := range openRanges(text) {
			if opened.from == opened.to && slices.Contains(d.publicPorts, opened.from) {
				continue
			}
			ports = append(ports, opened.String())
			remote = remote || opened.contains(22) || opened.contains(3389)
		}
		if len(ports) == 0 {
			continue
		}
		finding := findings.Row(row).Context("ports", strings.Join(ports, ", "))
		if remote {
			finding.Severity(yagura.Critical)
		}
		finding.Context("group", d.group.Or(row, ""))
	}
	return nil
}

// portRange is the ports from one to another, both included.
type portRange struct{ from, to int64 }

func (r portRange) contains(port int64) bool {
	return r.from <= port && port <= r.to
}

func (r portRange) String() string {
	if r.from == r.to {
		return strconv.FormatInt(r.from, 10)
	}
	return strconv.FormatInt(r.from, 10) + "-" + strconv.FormatInt(r.to, 10)
}

// openRanges returns the ports that a request opens to the whole internet, in its order. What does not have the shape of a
// permission is passed over: the text is the caller's, and one odd member must not hide the others.
func openRanges(text string) []portRange {
	var ranges []portRange
	for _, item := range items(parse(text)) {
		permission, _ := item.(map[string]any)
		from, fromKnown := integer(permission["fromPort"])
		to, toKnown := integer(permission["toPort"])
		if !fromKnown || !toKnown {
			continue
		}
		if names(permission["ipRanges"], "cidrIp", "0.0.0.0/0") || names(permission["ipv6Ranges"], "cidrIpv6", "::/0") {
			ranges = append(ranges, portRange{from, to})
		}
	}
	return ranges
}

// parse returns what JSON text holds, with numbers as they are written; nothing when it is not JSON.
func parse(text string) any {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil {
		return nil
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil
	}
	return value
}

// names says whether one of the items of a list has a value under a key.
func names(list any, key, wanted string) bool {
	return slices.ContainsFunc(items(list), func(item any) bool {
		members, _ := item.(map[string]any)
		return members[key] == wanted
	})
}

// items returns the elements of `{"items": [...]}`; none when it is something else.
func items(value any) []any {
	members, _ := value.(map[string]any)
	list, _ := members["items"].([]any)
	return list
}

// integer returns a JSON number that is written as an integer.
func integer(value any) (int64, bool) {
	number, _ := value.(json.Number)
	result, err := number.Int64()
	return result, err == nil
}
