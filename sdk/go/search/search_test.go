package search_test

import (
	"fmt"
	"testing"

	"github.com/yagura/yagura/sdk/go/lookup"
	"github.com/yagura/yagura/sdk/go/plugin"
	"github.com/yagura/yagura/sdk/go/search"
	"github.com/yagura/yagura/sdk/go/yaguratest"
)

func TestEventsAreReadByColumnAndType(t *testing.T) {
	tables := yaguratest.NewTables(t, map[string]*yaguratest.Events{"dhcp": yaguratest.NewEvents().
		Text("host", "櫓", nil, "c").
		Int64("n", -1, nil, 3).
		Float64("ratio", 0.5, nil, 1).
		Boolean("on", true, nil, false).
		Time("at", 1_700_000_000_000_001, nil, 3).
		Binary("raw", []byte{65}, nil, nil)})
	alert := yaguratest.NewAlert()
	names := []string{"raw", "host", "n", "ratio", "on", "at"}
	found, err := search.Table("dhcp").Observable(plugin.IP, "10.0.0.1").Around(alert, search.Hour, search.Minute).
		Columns(names...).Limit(2).Find()
	if err != nil {
		t.Fatal(err)
	}
	var said string
	for row := range found.Rows() {
		for _, name := range names {
			said += row.Text(name) + ","
		}
		n, known := row.Int64("n")
		ratio, _ := row.Float64("ratio")
		on, _ := row.Boolean("on")
		at, _ := row.Time("at")
		said += fmt.Sprint(n, ratio, on, at, known, row.Binary("raw"), row.Binary("host"), "\n")
	}
	wanted := "A,櫓,-1,0.5,true,2023-11-14T22:13:20.000001Z,-1 0.5 true 1700000000000001 true [65] [230 171 147]\n" +
		",,,,,,0 0 false 0 false [] []\n"
	if said != wanted || found.Len() != 2 || !found.IsTruncated() {
		t.Errorf("found %q", said)
	}
	query := tables.Queries()[0]
	if query.From != alert.FirstTime-search.Hour || query.To != alert.LastTime+search.Minute || query.Limit != 2 {
		t.Errorf("asked %+v", query)
	}
	for wanted, read := range map[string]func(search.Row){
		"column `host` of the search is of type utf8 where the plugin reads int64": func(row search.Row) { row.Int64("host") },
		"the search asked for no column `hots`: name it in Columns, which are `raw`, `host`, `n`, `ratio`, `on`, `at`": func(
			row search.Row) {
			row.Text("hots")
		},
	} {
		func() {
			defer func() {
				if found := recover(); found != wanted {
					t.Errorf("%v, not %s", found, wanted)
				}
			}()
			for row := range found.Rows() {
				read(row)
			}
		}()
	}
}

func TestWhatIsNotThereIsAnErrorThatSaysSo(t *testing.T) {
	if _, err := search.Table("dns").Find(); err != plugin.ConfigError(
		"a unit test has no tables: give it some by yaguratest.NewTables") {
		t.Error(err)
	}
	if _, _, err := lookup.Get("assets", "x"); err != plugin.ConfigError(
		"a unit test has no lookup tables: give it some by yaguratest.NewLookups") {
		t.Error(err)
	}
	yaguratest.NewTables(t, map[string]*yaguratest.Events{"dhcp": yaguratest.NewEvents().Text("host")})
	yaguratest.NewLookups(t, yaguratest.Lookups{"assets": {"db-1": []int{1}}})
	if _, err := search.Table("dns").Find(); err != plugin.ConfigError("there is no table `dns` to search") {
		t.Error(err)
	}
	if _, err := search.Table("dhcp").Columns("hots").Find(); err != plugin.ConfigError("the table `dhcp` has no column `hots`") {
		t.Error(err)
	}
	var asset struct{ Owner string }
	if found, err := lookup.GetJSON("assets", "db-1", &asset); !found || err != plugin.DataError(
		"the row `db-1` of the lookup table `assets` cannot be decoded: "+
			"json: cannot unmarshal array into Go value of type struct { Owner string }") {
		t.Error(found, err)
	}
	if found, err := lookup.GetJSON("assets", "db-2", &asset); found || err != nil {
		t.Error(found, err)
	}
}
