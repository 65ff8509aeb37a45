//! The live mode through the real binary.
