// Package plugin is what plugins of all worlds share: alerts, facts about them, assessments of them, errors, the
// configuration and the log. Package yagura, for detectors, has the same errors, severities and log under its own name.
//
// A plugin imports the package of its world and those of what it reaches, and nothing of other worlds: what is imported
// becomes part of the component, and a component may reach only what its world offers.
//
//	world     package     may import
//	detector  yagura
//	enricher  enricher    http, search, lookup
//	reviewer  reviewer    lookup
//	notifier  notifier    http
//
// The package has no dependency but Go's own library.
package plugin
