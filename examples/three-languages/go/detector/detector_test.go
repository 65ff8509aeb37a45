package main

import (
	"reflect"
	"testing"

	yagura "github.com/yagura/yagura/sdk/go"
	"github.com/yagura/yagura/sdk/go/yaguratest"
)

type pairs = []yaguratest.Pair

// evaluated is a detector's findings about events, which must be the same when the events come one by one.
func evaluated(t *testing.T, rule yaguratest.Rule, events *yaguratest.Events) []yaguratest.Finding {
	t.Helper()
	session, err := yaguratest.Open(rule, events)
	if err != nil {
		t.Fatal(err)
	}
	together, err := session.Batch(events)
	if err != nil {
		t.Fatal(err)
	}
	apart := []yaguratest.Finding{}
	for row := range events.Len() {
		findings, err := session.Batch(events.Slice(row, row+1))
		if err != nil {
			t.Fatal(err)
		}
		for _, finding := range findings {
			finding.Rows[0] += row
			apart = append(apart, finding)
		}
	}
	if !reflect.DeepEqual(together, apart) {
		t.Errorf("one batch gives %+v, a batch a row %+v", together, apart)
	}
	return together
}

func expect(t *testing.T, found, wanted []yaguratest.Finding) {
	t.Helper()
	if !reflect.DeepEqual(found, wanted) {
		t.Errorf("found  %+v\nwanted %+v", found, wanted)
	}
}

func TestConsoleLoginsWithoutASecondFactor(t *testing.T) {
	events := yaguratest.NewEvents().
		Time("event_time", 1_700_000_000_000_001, 2, 3, 4, 5).
		Text("user_type", "IAMUser", "Root", "Root", "Root", nil).
		Text("user_name", "alice", "櫓", nil, "mallory", nil).
		Text("additional_event_data.MFAUsed", "No", nil, "No", "Yes", "yes")
	expect(t, evaluated(t, yaguratest.Rule{ID: "sample-console-login"}, events), []yaguratest.Finding{
		{Rows: []int{0}, Context: pairs{{"time", "1700000000000001"}, {"mfa", "No"}}},
		{
			Rows: []int{1}, Severity: yagura.Critical, Title: "Root login without a second factor by 櫓",
			Context: pairs{{"time", "2"}},
		},
		{
			Rows: []int{2}, Severity: yagura.Critical, Title: "Root login without a second factor by nobody",
			Context: pairs{{"time", "3"}, {"mfa", "No"}},
		},
		{Rows: []int{4}, Context: pairs{{"time", "5"}, {"mfa", "yes"}}},
	})
}

func TestPortsOpenToTheInternet(t *testing.T) {
	const world = `"ipRanges": {"items": [{"cidrIp": "10.0.0.0/8"}, {"cidrIp": "0.0.0.0/0"}]}`
	texts := []any{
		// Two that count, one that is public, one that is not open.
		`{"items": [{"fromPort": 22, "toPort": 22, ` + world + `},
			{"fromPort": 443, "toPort": 443, ` + world + `},
			{"fromPort": 5000, "toPort": 5001, "ipRanges": {}, "ipv6Ranges": {"items": [{"cidrIpv6": "::/0"}]}},
			{"fromPort": 9, "toPort": 9, "ipRanges": {"items": [{"cidrIp": "10.0.0.0/8"}]}}]}`,
		// A range around a public port is not public, and what is odd is passed over.
		`{"items": [7, null, {"fromPort": "1", "toPort": 1, ` + world + `}, {"fromPort": 1.5, "toPort": 2, ` + world + `},
			{"fromPort": 443 , "toPort" : 444 , "ipRanges": {"items": [4, {"cidrIp": 0}, {"cidrIp": "0.0.0.0/0"}]}}]}`,
		`{"items": [{"fromPort": 3000, "toPort": 4000, "ipRanges": {"items": [{"cidrIp": "0.0.0.0\/0"}]}}]}`,
		nil, "", "null", "[]", `{"items": 3}`, `{"items": [`, `{"items": [{"fromPort": 1, "toPort": 1, ` + world + `}]} more`,
		`{"items": [{"fromPort": 80, "toPort": 80, ` + world + `}]}`,
	}
	groups := make([]any, len(texts))
	groups[0] = "sg-1"
	events := yaguratest.NewEvents().
		Text("request_parameters.ipPermissions", texts...).
		Text("request_parameters.groupId", groups...)
	rule := yaguratest.Rule{ID: "sample-open-ingress", Config: `{"public_ports": [80, 443]}`}
	expect(t, evaluated(t, rule, events), []yaguratest.Finding{
		{Rows: []int{0}, Severity: yagura.Critical, Context: pairs{{"ports", "22, 5000-5001"}, {"group", "sg-1"}}},
		{Rows: []int{1}, Context: pairs{{"ports", "443-444"}}},
		{Rows: []int{2}, Severity: yagura.Critical, Context: pairs{{"ports", "3000-4000"}}},
	})

	withoutConfig := evaluated(t, yaguratest.Rule{ID: "sample-open-ingress"}, events.Slice(10, 11))
	expect(t, withoutConfig, []yaguratest.Finding{{Rows: []int{0}, Context: pairs{{"ports", "80"}}}})
}

func TestRolesWithRandomNames(t *testing.T) {
	events := yaguratest.NewEvents().
		Text("request_parameters.roleName", "role-1a2b3c", "櫓櫓櫓櫓櫓123", "1234567", "deployment-role", nil, "a1234567").
		Boolean("read_only", false, true, true, true, true, nil)
	rule := yaguratest.Rule{ID: "sample-random-role"}
	names := func(findings []yaguratest.Finding) (names []string) {
		for _, finding := range findings {
			names = append(names, finding.Context[0][1]+" "+finding.Context[1][1]+" "+finding.Severity.String())
		}
		return names
	}
	found := names(evaluated(t, rule, events))
	if wanted := []string{"櫓櫓櫓櫓櫓123 0.375 medium", "a1234567 0.875 "}; !reflect.DeepEqual(found, wanted) {
		t.Errorf("found %q, wanted %q", found, wanted)
	}
	// 3/11 is a little more than this, which is thus reached.
	rule.Config = `{"digits": 0.2727272727}`
	if found := names(evaluated(t, rule, events)); len(found) != 3 || found[0] != "role-1a2b3c 0.273 " {
		t.Errorf("found %q", found)
	}
	rule.Config = `{"digit": 0.5}`
	if _, err := yaguratest.Open(rule, events); err == nil {
		t.Error("a misspelt key is let through")
	} else {
		t.Log(err)
	}
}
