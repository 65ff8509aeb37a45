//! The HTTP service against real servers on loopback, without a plugin.
//!
//! * `calls`: checks, limits, redirects and records of calls.
//! * `recording`: calls that are recorded and answered from the recording.

#[cfg(test)]
mod calls;
#[cfg(test)]
mod recording;
