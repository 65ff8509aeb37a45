// The sample pack's detectors, one file a rule. The same three exist in Rust, Go and Python and answer the same.
package main

// The host calls what the package's init functions have named; a component has no main of its own.
func main() {}
