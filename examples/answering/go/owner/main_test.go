package main

import (
	"errors"
	"reflect"
	"testing"

	"github.com/yagura/yagura/sdk/go/http"
	"github.com/yagura/yagura/sdk/go/plugin"
	"github.com/yagura/yagura/sdk/go/yaguratest"
)

const config = `{"inventory": "https://inventory.example.com"}`

func alertOf(observables ...plugin.Observable) *plugin.Alert {
	alert := yaguratest.NewAlert()
	alert.Observables = observables
	return alert
}

func tables(t *testing.T) *yaguratest.Tables {
	yaguratest.NewLookups(t, yaguratest.Lookups{"assets": {"db-1": map[string]string{"owner": "data"}}})
	return yaguratest.NewTables(t, map[string]*yaguratest.Events{
		"dhcp": yaguratest.NewEvents().Time("event_time", 1, 3, 2).Text("host", "old", "web 1", nil),
	})
}

func TestTheOwnerIsFoundByTableOrByInventory(t *testing.T) {
	searches := tables(t)
	server := yaguratest.NewServer(t).
		Answer("GET https://inventory.example.com/hosts/web%201", yaguratest.Reply{Body: `{"owner": "shop"}`})
	alert := alertOf(plugin.Observable{Kind: plugin.IP, Value: "10.0.0.9"}, plugin.Observable{Kind: plugin.Host, Value: "db-1"})
	enriched, err := yaguratest.Enrich(config, alert)
	if err != nil {
		t.Fatal(err)
	}
	wanted := []plugin.Attribute{
		{Name: "host of 10.0.0.9", Value: "web 1", Source: "dhcp"},
		{Name: "owner of db-1", Value: "data", Source: "assets"},
		{Name: "owner of web 1", Value: "shop", Source: "inventory"},
	}
	if !reflect.DeepEqual(enriched.Attributes, wanted) {
		t.Errorf("found %+v", enriched.Attributes)
	}
	if len(enriched.Observables) != 1 || enriched.Observables[0].Value != "web 1" {
		t.Errorf("found %+v", enriched.Observables)
	}
	if secret := server.Requests()[0].Header("authorization"); secret != "Bearer {{secret:inventory}}" {
		t.Errorf("authorization is %q", secret)
	}
	query := searches.Queries()[0]
	if query.Observable.Value != "10.0.0.9" || query.To != alert.LastTime || query.From >= alert.FirstTime {
		t.Errorf("searched for %+v", query)
	}
}

func TestWhatTheInventoryDoesNotKnowIsLeftOutAndItsFailureIsTold(t *testing.T) {
	tables(t)
	place := "GET https://inventory.example.com/hosts/lost"
	server := yaguratest.NewServer(t)
	alert := alertOf(plugin.Observable{Kind: plugin.Host, Value: "lost"})

	server.Answer(place, yaguratest.Reply{Status: 404})
	if enriched, err := yaguratest.Enrich(config, alert); err != nil || len(enriched.Attributes) != 0 {
		t.Errorf("found %+v, %v", enriched, err)
	}
	var retry plugin.RetryError
	for _, reply := range []yaguratest.Reply{
		{Status: 503}, {Body: "<html>"}, {Failure: &http.Error{Kind: http.Timeout}},
	} {
		server.Answer(place, reply)
		if _, err := yaguratest.Enrich(config, alert); !errors.As(err, &retry) {
			t.Errorf("%+v gives %T %v", reply, err, err)
		}
	}
	server.Answer(place, yaguratest.Reply{Failure: &http.Error{Kind: http.Denied, Message: "grant it"}})
	var refused plugin.ConfigError
	if _, err := yaguratest.Enrich(config, alert); !errors.As(err, &refused) {
		t.Errorf("a denial gives %T %v", err, err)
	}
}

func TestMistakesInTheConfigurationAreNamed(t *testing.T) {
	for config, wanted := range map[string]string{
		``:                    "`plugin.config.inventory` is missing: give it the URL of the inventory",
		`{"inventori": "x"}`:  "`plugin.config` has the key `inventori`, which the plugin does not know: it knows `inventory`, `most`",
		`{"most": "several"}`: "`plugin.config.most` is a JSON string where int is wanted",
	} {
		if _, err := yaguratest.Enrich(config, yaguratest.NewAlert()); err != plugin.ConfigError(wanted) {
			t.Errorf("%s gives %T %v", config, err, err)
		}
	}
}
