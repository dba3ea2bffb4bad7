//! The `batchlingua` binary.
fn main() {}
