package yaguratest

import (
	"strings"
	"testing"

	"github.com/yagura/yagura/sdk/go/http"
	"github.com/yagura/yagura/sdk/go/internal/exchange"
)

// Server answers the requests of package http in a test, instead of the network; see [NewServer].
type Server struct {
	t        testing.TB
	replies  map[string][]Reply
	requests []Request
}

// Request is a request that a plugin sent. It has placeholders, not secrets.
type Request struct {
	Method, URL string
	// Headers are name and value, in order.
	Headers []Pair
	Body    string
	// Sign is nil for a request without a signature.
	Sign *http.Signature
}

// Header returns the first header of a name, in any case; empty if there is none.
func (r *Request) Header(name string) string {
	for _, header := range r.Headers {
		if strings.EqualFold(header[0], name) {
			return header[1]
		}
	}
	return ""
}

// Reply is the answer to a request, or the reason why there is none.
type Reply struct {
	// Status is 200 if it is left out.
	Status  int
	Headers []Pair
	Body    string
	// Failure makes the request fail, for this reason.
	Failure *http.Error
}

// NewServer answers the requests of a test until its end. Tests with a server do not run in parallel.
//
//	server := yaguratest.NewServer(t).
//		Answer("GET https://inventory.example.com/hosts/web%201", yaguratest.Reply{Body: `{"owner": "shop"}`})
func NewServer(t testing.TB) *Server {
	server := &Server{t: t, replies: map[string][]Reply{}}
	earlier := exchange.Answering
	exchange.Answering = server.answer
	t.Cleanup(func() {
		exchange.Answering = earlier
		for place, replies := range server.replies {
			if len(replies) > 0 {
				t.Errorf("%s was asked %d times fewer than there are answers", place, len(replies))
			}
		}
	})
	return server
}

// Answer answers requests to a place, `METHOD URL`, by these replies in order, each once. The test fails for a request
// without reply, and for a reply without request.
func (s *Server) Answer(place string, replies ...Reply) *Server {
	s.replies[place] = append(s.replies[place], replies...)
	return s
}

// Requests returns the requests so far, in order.
func (s *Server) Requests() []Request {
	return s.requests
}

func (s *Server) answer(request *exchange.Request) (*exchange.Response, *exchange.Error) {
	s.requests = append(s.requests, Request{
		Method: request.Method, URL: request.URL, Headers: request.Headers, Body: string(request.Body), Sign: request.Sign,
	})
	place := request.Method + " " + request.URL
	replies := s.replies[place]
	if len(replies) == 0 {
		s.t.Errorf("%s was asked, and there is no answer to it", place)
		return nil, &exchange.Error{Kind: exchange.Failed, Message: "the test has no answer to " + place}
	}
	s.replies[place] = replies[1:]
	reply := replies[0]
	if reply.Failure != nil {
		return nil, &exchange.Error{Kind: reply.Failure.Kind, Message: reply.Failure.Message}
	}
	if reply.Status == 0 {
		reply.Status = 200
	}
	response := &exchange.Response{Status: uint16(reply.Status), Body: []byte(reply.Body)}
	for _, header := range reply.Headers {
		response.Headers = append(response.Headers, [2]string{strings.ToLower(header[0]), header[1]})
	}
	return response, nil
}
