//! Small runnable programs around Batchlingua; see `examples/README.md` beside this crate.
