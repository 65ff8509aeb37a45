//go:build !wasip1

package state

// Rule returns the number of the rule whose key is at hand: a unit test opens one rule.
func Rule() (uint32, *Error) {
	if atHand == nil {
		return 0, &Error{Kind: NoScope}
	}
	return 0, nil
}

// Get returns the value under a name.
func Get(name string, at int64) ([]byte, bool, *Error) {
	if atHand == nil {
		return nil, false, &Error{Kind: NoScope}
	}
	value, found := atHand.get(name, at)
	return value, found, nil
}

// Put stores a value under a name; `expires` is nil for one that stays.
func Put(name string, value []byte, expires *int64) *Error {
	if atHand == nil {
		return &Error{Kind: NoScope}
	}
	return atHand.put(name, value, expires)
}

// Increment adds to a counter and returns its new value; `expires` is nil to keep its expiry.
func Increment(name string, by, at int64, expires *int64) (int64, *Error) {
	if atHand == nil {
		return 0, &Error{Kind: NoScope}
	}
	return atHand.increment(name, by, at, expires)
}

// Remove forgets what is under a name.
func Remove(name string) *Error {
	if atHand == nil {
		return &Error{Kind: NoScope}
	}
	delete(atHand.entries, name)
	return nil
}

// Wake asks for a call at a time.
func Wake(at int64) *Error {
	if atHand == nil {
		return &Error{Kind: NoScope}
	}
	return atHand.wake(at)
}
