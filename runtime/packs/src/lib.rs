//! Packs as files.
