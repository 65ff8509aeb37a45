// Package author calls the code of a plugin's author: what goes wrong there becomes an error of the contract.
package author

import (
	"errors"

	"github.com/yagura/yagura/sdk/go/internal/abi"
	"github.com/yagura/yagura/sdk/go/plugin"
)

// Call calls an author's code. Its errors are of kind `other` unless they say otherwise; so is a panic, which the host
// would else see as a trap without a word of where it was.
func Call(other abi.ErrorKind, work func() error) (failure *abi.Error) {
	defer func() {
		if value := recover(); value != nil {
			failure = &abi.Error{Kind: other, Message: abi.Panicked(value)}
		}
	}()
	if err := work(); err != nil {
		return ToContract(err, other)
	}
	return nil
}

// ToContract returns an author's error as the contract has it; `other` is what an error becomes that is none of ours. An
// error that wraps one of ours is one, with the whole message.
func ToContract(err error, other abi.ErrorKind) *abi.Error {
	var (
		config plugin.ConfigError
		data   plugin.DataError
		retry  plugin.RetryError
	)
	kind := other
	switch {
	case errors.As(err, &config):
		kind = abi.Config
	case errors.As(err, &data):
		kind = abi.Data
	case errors.As(err, &retry):
		kind = abi.Retry
	}
	return &abi.Error{Kind: kind, Message: err.Error()}
}

// FromContract returns an error of the contract as authors have it.
func FromContract(failure *abi.Error) error {
	switch failure.Kind {
	case abi.Config:
		return plugin.ConfigError(failure.Message)
	case abi.Retry:
		return plugin.RetryError(failure.Message)
	}
	return plugin.DataError(failure.Message)
}

// Opener is the plugin of a world as its author registers it.
type Opener[P any] struct {
	opens []func(*plugin.Config) (P, error)
}

// Add registers a plugin.
func (o *Opener[P]) Add(open func(*plugin.Config) (P, error)) {
	o.opens = append(o.opens, open)
}

// Open opens the plugin that was registered. `world` is for messages.
func (o *Opener[P]) Open(world, config string) (opened P, failure *abi.Error) {
	if len(o.opens) != 1 {
		message := "the component has no " + world + ": call " + world + ".Serve in an init function"
		if len(o.opens) > 1 {
			message = "the component has more than one " + world + ": call " + world + ".Serve once"
		}
		return opened, &abi.Error{Kind: abi.Config, Message: message}
	}
	settings := plugin.NewConfig(config)
	failure = Call(abi.Config, func() (err error) {
		opened, err = o.opens[0](settings)
		return err
	})
	switch {
	case settings.Err() != nil:
		// It came first: whatever went wrong afterwards may well have come of it.
		failure = ToContract(settings.Err(), abi.Config)
	case failure == nil && any(opened) == nil:
		failure = &abi.Error{Kind: abi.Config, Message: "opening it returned no " + world}
	}
	return opened, failure
}

// NotOpen is the answer to a call before the plugin was opened.
func NotOpen(world string) *abi.Error {
	return &abi.Error{Kind: abi.Data, Message: "the " + world + " was not opened"}
}
