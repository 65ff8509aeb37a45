//! Plugins that use capabilities of the host, against real servers on loopback.
//!
//! * `guests`: hostile guests and their inputs.
//! * `hostile`: enrichers that try to get more than they are allowed.
//! * `responders`: notifiers and reviewers that misbehave.

#[cfg(test)]
mod guests;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod responders;
