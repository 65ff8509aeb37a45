//! Three detectors that are written in Rust, Go and Python alike. A test compares what they say, byte by byte.

mod console_login;
mod open_ingress;
mod random_role;

yagura_sdk::detectors! {
    "sample-console-login" => console_login::ConsoleLogin,
    "sample-open-ingress" => open_ingress::OpenIngress,
    "sample-random-role" => random_role::RandomRole,
}
