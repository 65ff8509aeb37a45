package main

import (
	"testing"

	"github.com/yagura/yagura/sdk/go/plugin"
	"github.com/yagura/yagura/sdk/go/yaguratest"
)

func TestTheOwnerIsAskedFor(t *testing.T) {
	server := yaguratest.NewServer(t).
		Answer("GET https://inventory.example.com/hosts/web%201", yaguratest.Reply{Body: `{"owner": "shop"}`}).
		Answer("GET https://inventory.example.com/hosts/lost", yaguratest.Reply{Status: 404})
	alert := yaguratest.NewAlert()
	alert.Observables = []plugin.Observable{{Kind: plugin.Host, Value: "web 1"}, {Kind: plugin.Host, Value: "lost"}}
	enriched, err := yaguratest.Enrich(`{"inventory": "https://inventory.example.com"}`, alert)
	if err != nil {
		t.Fatal(err)
	}
	if len(enriched.Attributes) != 1 || enriched.Attributes[0].Value != "shop" {
		t.Errorf("found %+v", enriched.Attributes)
	}
	// The host fills the secret in; a plugin never sees it.
	if found := server.Requests()[0].Header("Authorization"); found != "Bearer {{secret:inventory}}" {
		t.Errorf("authorization is %q", found)
	}
}
