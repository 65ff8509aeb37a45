//! Plugins that use capabilities of the host, against real servers on loopback, and those that parse raw logs.
//!
//! * `guests`: hostile guests and their inputs.
//! * `hostile`: enrichers that try to get more than they are allowed.
//! * `normalizers`: normalizers that misbehave.
//! * `responders`: notifiers and reviewers that misbehave.

#[cfg(test)]
mod guests;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod normalizers;
#[cfg(test)]
mod responders;
