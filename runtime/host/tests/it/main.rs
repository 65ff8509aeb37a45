//! What plugins reach through the host, against real servers on loopback.
//!
//! * `server`: servers that answer well, and servers that do not.
//! * `rig`: a host's services with a secret, a record of calls and names of our own.
//! * `http`: the checks, limits and records of calls, without a plugin.
//! * `recording`: calls written down and answered from there.
//! * `guests`: hostile guests and what they are called with.
//! * `hostile`: enrichers that try to get what they may not.
//! * `responders`: notifiers and reviewers that misbehave.

#[cfg(test)]
mod guests;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod http;
#[cfg(test)]
mod recording;
#[cfg(test)]
mod responders;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod server;
