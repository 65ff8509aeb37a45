//! What the integration tests share.

pub mod azurite;
pub mod command;
pub mod crowd;
pub mod database;
pub mod fixture;
pub mod gate;
pub mod guests;
pub mod malformed;
pub mod moto;
pub mod pack;
pub mod pubsub;
pub mod random;
pub mod real_data;
pub mod s3;
pub mod scratch;
pub mod services;
pub mod stream;
