//! Compiles the crate anew when the SDKs or templates that it holds change; the compiler itself only sees files that were
//! there before.

fn main() {
    for dir in ["../../sdk", "../../wit", "templates"] {
        println!("cargo:rerun-if-changed={dir}");
    }
}
