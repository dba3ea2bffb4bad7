//! Small runnable programs around Batchlingua; see `examples/README.md` beside this crate. What the programs that measure share is here: a
//! client that costs little, and processes whose processor time and memory are read from `/proc`.

pub mod client;
pub mod process;

/// Whatever goes wrong in such a program ends it with its message.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
