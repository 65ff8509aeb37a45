//! The schema, and what stands on it, on events written here.
//!
//! * `schema`: classes and attributes by name and path;
//! * `validate`: valid events of seven classes, and each kind of problem;
//! * `completed`: what follows from what an event has;
//! * `observables`: what is found, by type, attribute and object;
//! * `properties`: events that nobody wrote;
//! * `source_form`: the file of the schema is what its source form gives.

#[cfg(test)]
mod completed;
#[cfg(test)]
mod events;
#[cfg(test)]
mod observables;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod source_form;
#[cfg(test)]
mod validate;

// The example that makes the file of the schema.
#[cfg(test)]
#[path = "../../examples/compile/attributes.rs"]
mod attributes;
#[cfg(test)]
#[path = "../../examples/compile/compile.rs"]
mod compile;
#[cfg(test)]
#[path = "../../examples/compile/source.rs"]
mod source;
#[cfg(test)]
#[path = "../../examples/compile/writer.rs"]
mod writer;
