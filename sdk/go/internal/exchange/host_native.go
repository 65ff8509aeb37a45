//go:build !wasip1

package exchange

// Answering answers requests in unit tests; nil where a test has no server.
var Answering func(*Request) (*Response, *Error)

// Send sends a request.
func Send(request *Request) (*Response, *Error) {
	if Answering == nil {
		return nil, &Error{Kind: Denied, Message: "a unit test reaches no network: answer the request by yaguratest.NewServer"}
	}
	return Answering(request)
}
