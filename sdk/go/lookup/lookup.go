// Package lookup reads lookup tables, for enrichers and reviewers: files of the pack, and tables that the manifest requests
// (`[plugin.request]`) and the operator grants, such as assets or the geolocation of addresses.
package lookup

import (
	"encoding/json"
	"fmt"

	"github.com/yagura/yagura/sdk/go/internal/author"
	"github.com/yagura/yagura/sdk/go/internal/looking"
	"github.com/yagura/yagura/sdk/go/plugin"
)

// Get returns the row under a key as JSON text; in a table of networks, the row of the network that contains the address. It is
// false if the table has no such row. The error is a missing table or a missing grant, with the line that would grant it.
func Get(table, key string) (row string, found bool, err error) {
	row, found, failure := looking.Get(table, key)
	if failure != nil {
		return "", false, author.FromContract(failure)
	}
	return row, found, nil
}

// GetJSON is [Get] with the row decoded into what `into` points to, by the rules of encoding/json. A row that does not fit is
// a [plugin.DataError].
func GetJSON(table, key string, into any) (found bool, err error) {
	row, found, err := Get(table, key)
	if err != nil || !found {
		return false, err
	}
	if err := json.Unmarshal([]byte(row), into); err != nil {
		return true, plugin.DataError(fmt.Sprintf("the row `%s` of the lookup table `%s` cannot be decoded: %v", key, table, err))
	}
	return true, nil
}
