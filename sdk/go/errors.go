package yagura

import (
	"errors"

	"github.com/yagura/yagura/sdk/go/internal/abi"
)

// ConfigError says that the configuration or the rules are wrong; the plugin is not opened.
type ConfigError string

// DataError says that these events cannot be judged; they are set aside and reported.
type DataError string

// RetryError says that one more try with the same input is worth it.
type RetryError string

// Error returns the message.
func (e ConfigError) Error() string { return string(e) }

// Error returns the message.
func (e DataError) Error() string { return string(e) }

// Error returns the message.
func (e RetryError) Error() string { return string(e) }

// toContract returns an author's error as the contract has it; `other` is what an error becomes that is none of ours. An
// error that wraps one of ours is one, with the whole message.
func toContract(err error, other abi.ErrorKind) *abi.Error {
	var (
		config ConfigError
		data   DataError
		retry  RetryError
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
