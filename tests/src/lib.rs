//! What the integration tests share.

pub mod command;
pub mod fixture;
pub mod guests;
pub mod s3;
