// Package http sends requests through the host, for enrichers and notifiers. The host allows what the pack's manifest
// requests (`[plugin.request]`) and the operator grants, and checks scheme, host, port and the resolved address, also after
// redirects.
//
//	response, err := http.Get("https://api.example.org/hosts/"+http.Encode(host)).
//		Header("Authorization", "Bearer "+http.Secret("inventory")).
//		Send()
//	if err != nil {
//		return err
//	}
//	if response.Status == 404 {
//		return nil
//	}
//	var asset struct{ Owner string }
//	if err := response.JSON(&asset); err != nil {
//		return err
//	}
//
// # Secrets
//
// A plugin never sees a secret. It writes a placeholder, by [Secret] or [Basic], and the host replaces it by the secret after it
// has allowed the request. The host replaces every placeholder in a request, and an attacker may have put one into the text of an
// alert. So text from alerts must go through [Encode], [Request.Query] or [Request.JSON], which let no placeholder through, or
// through [Plain].
package http

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/yagura/yagura/sdk/go/internal/exchange"
	"github.com/yagura/yagura/sdk/go/plugin"
)

// Request is a request under construction; its methods change it and return it.
type Request struct {
	request exchange.Request
	failure error
}

// Signature is a header with a signature of the body: Prefix, then the HMAC-SHA256, in hexadecimal, of Before and the body as it
// is sent. The key is the secret with the name Secret.
type Signature = exchange.Signature

// Get starts a GET request.
func Get(url string) *Request { return NewRequest("GET", url) }

// Post starts a POST request.
func Post(url string) *Request { return NewRequest("POST", url) }

// Put starts a PUT request.
func Put(url string) *Request { return NewRequest("PUT", url) }

// Patch starts a PATCH request.
func Patch(url string) *Request { return NewRequest("PATCH", url) }

// NewRequest starts a request of any method. The URL begins with `https://`, or with `http://` if the grant allows it.
func NewRequest(method, url string) *Request {
	return &Request{request: exchange.Request{Method: method, URL: url}}
}

// Query adds a parameter to the URL. Neither name nor value can hold a placeholder.
func (r *Request) Query(name, value string) *Request {
	return r.query(name, Encode(value))
}

// QuerySecret adds a parameter to the URL whose value is a secret.
func (r *Request) QuerySecret(name, secret string) *Request {
	return r.query(name, Secret(secret))
}

func (r *Request) query(name, value string) *Request {
	between := "?"
	if strings.Contains(r.request.URL, "?") {
		between = "&"
	}
	r.request.URL += between + Encode(name) + "=" + value
	return r
}

// Header adds a header. Its value may hold placeholders.
func (r *Request) Header(name, value string) *Request {
	r.request.Headers = append(r.request.Headers, [2]string{name, value})
	return r
}

// Body sets the body. It may hold placeholders.
func (r *Request) Body(contentType string, body []byte) *Request {
	r.request.Body = body
	return r.Header("Content-Type", contentType)
}

// JSON sets the body to a value as JSON text. No text in it can hold a placeholder but a [Placeholder].
func (r *Request) JSON(value any) *Request {
	body, err := marshal(value)
	if err != nil && r.failure == nil {
		r.failure = plugin.DataError(fmt.Sprintf("the body for %s cannot be encoded: %v", r.place(), err))
	}
	return r.Body("application/json", body)
}

// Sign lets the host sign the body.
func (r *Request) Sign(signature Signature) *Request {
	r.request.Sign = &signature
	return r
}

// Send sends the request. Redirects of GET and HEAD are followed; the answer to others is the redirect itself. An answer
// with any status is no error: see [Response.Success]. The error is an [*Error], or a [plugin.DataError] for a body that cannot be encoded.
func (r *Request) Send() (*Response, error) {
	if r.failure != nil {
		return nil, r.failure
	}
	response, failure := exchange.Send(&r.request)
	if failure != nil {
		return nil, &Error{Kind: ErrorKind(failure.Kind), Message: failure.Message, place: r.place()}
	}
	return &Response{
		Status: int(response.Status), Body: response.Body, headers: response.Headers, place: r.place(),
	}, nil
}

// place returns method and URL for messages, without long or private parts.
func (r *Request) place() string {
	url, _, _ := strings.Cut(r.request.URL, "?")
	return r.request.Method + " " + url
}

// Encode returns text as one part of a URL's path or query: all but letters, digits, `-`, `_`, `.` and `~` is
// percent-encoded.
func Encode(text string) string {
	var encoded strings.Builder
	for _, one := range []byte(text) {
		if 'a' <= one|0x20 && one|0x20 <= 'z' || '0' <= one && one <= '9' || strings.IndexByte("-_.~", one) >= 0 {
			encoded.WriteByte(one)
		} else {
			fmt.Fprintf(&encoded, "%%%02X", one)
		}
	}
	return encoded.String()
}

// Secret returns the placeholder of a secret, for the path or query of a URL, the value of a header, or a body.
func Secret(name string) string {
	return "{{secret:" + name + "}}"
}

// Basic returns the placeholder for the value of a header of basic authentication, `USER:` and the secret in base64. The
// scheme stands before it: "Basic " + http.Basic("yagura", "jira").
func Basic(user, name string) string {
	return "{{basic:" + user + ":" + name + "}}"
}

// Plain returns text that holds no placeholder: a space separates two braces that would begin one.
func Plain(text string) string {
	for _, opening := range []string{"{{secret:", "{{basic:"} {
		text = strings.ReplaceAll(text, opening, "{ "+opening[1:])
	}
	return text
}

// Placeholder is text in a value for [Request.JSON] that may hold placeholders:
//
//	http.Post(url).JSON(map[string]any{"routing_key": http.Placeholder(http.Secret("pagerduty")), "text": report.Text})
type Placeholder string

// MarshalJSON returns the text as JSON that [Request.JSON] knows again: encoding/json itself writes a brace as a brace.
func (p Placeholder) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal(string(p))
	return bytes.ReplaceAll(text, []byte("{{"), []byte(markedBraces)), err
}

const markedBraces = `\u007b\u007b`

// marshal returns JSON text in which no text has two braces in a row, except marked text.
func marshal(value any) ([]byte, error) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	// Services show `\u003c` to people where they do not decode it; nobody puts this into a web page.
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	text := bytes.TrimSuffix(body.Bytes(), []byte("\n"))
	text = bytes.ReplaceAll(text, []byte("{{"), []byte(`{\u007b`))
	return bytes.ReplaceAll(text, []byte(markedBraces), []byte("{{")), nil
}

// Response is the answer of a server.
type Response struct {
	// Status is as in HTTP: 200 for success, and so on.
	Status int
	Body   []byte
	// headers have names in lower case.
	headers [][2]string
	place   string
}

// Header returns the first header of a name, in any case; empty if there is none.
func (r *Response) Header(name string) string {
	for _, header := range r.headers {
		if strings.EqualFold(header[0], name) {
			return header[1]
		}
	}
	return ""
}

// Success returns nil for a status from 200 to 299. Otherwise it is an error with status and beginning of the body: a
// [plugin.RetryError] for 408, 425, 429 and from 500, a [plugin.DataError] for others.
func (r *Response) Success() error {
	if 200 <= r.Status && r.Status <= 299 {
		return nil
	}
	message := fmt.Sprintf("%s: status %d: %s", r.place, r.Status, excerpt(r.Body))
	switch {
	case r.Status >= 500, r.Status == 408, r.Status == 425, r.Status == 429:
		return plugin.RetryError(message)
	}
	return plugin.DataError(message)
}

// JSON decodes the body of a success into what `into` points to, by the rules of encoding/json. The error is that of
// [Response.Success], or a [plugin.RetryError] for a body that is not such JSON, as a proxy sometimes sends.
func (r *Response) JSON(into any) error {
	if err := r.Success(); err != nil {
		return err
	}
	if err := json.Unmarshal(r.Body, into); err != nil {
		return plugin.RetryError(fmt.Sprintf("%s: the answer is not the JSON expected: %v: %s", r.place, err, excerpt(r.Body)))
	}
	return nil
}

// excerpt returns the beginning of a body, on one line.
func excerpt(body []byte) string {
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(body[:min(len(body), 300)]), "")), " ")
	if text == "" {
		return "no text"
	}
	return text
}

// Error is the reason why a request had no answer.
type Error struct {
	Kind ErrorKind
	// Message is the host's. For a denial it names what would allow the request. Some kinds have no message.
	Message string
	place   string
}

// ErrorKind is the kind of an [Error].
type ErrorKind = exchange.Kind

// The kinds of errors.
const (
	// Denied: the manifest does not request it, or the operator did not grant it.
	Denied = exchange.Denied
	// Limited: the call limit for this host is used up for now.
	Limited = exchange.Limited
	// Timeout: no answer came in time. The request may have been carried out.
	Timeout = exchange.Timeout
	// TooLarge: request or answer were over the host's limits.
	TooLarge = exchange.TooLarge
	// Failed: connection, TLS or protocol. The request may have been carried out.
	Failed = exchange.Failed
)

// Error returns the request and the reason.
func (e *Error) Error() string {
	what := []string{"denied", "the limit of calls is used up for now", "no answer in time", "too large", "failed"}
	message := e.place + ": "
	if int(e.Kind) < len(what) {
		message += what[e.Kind]
	}
	if e.Message != "" {
		message += ": " + e.Message
	}
	return message
}

// Unwrap returns the error that the host sees if the plugin returns this one: a [plugin.ConfigError] for a denial, a
// [plugin.DataError] if something is too large, and otherwise a [plugin.RetryError].
func (e *Error) Unwrap() error {
	switch e.Kind {
	case Denied:
		return plugin.ConfigError(e.Error())
	case TooLarge:
		return plugin.DataError(e.Error())
	}
	return plugin.RetryError(e.Error())
}
