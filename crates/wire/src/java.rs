//! What products written in Java say and read below their own code: Jackson's complaints about a text and its JSON, Jetty's pages, and
//! integers as `Integer.parseInt` takes them. No product's own words: each states what differs in its [`Mapper`].

mod integer;
mod jackson;
mod jetty;
mod mismatch;
mod syntax;

pub use integer::{is_all_digits, parse_int, parse_long};
pub use jackson::{Mapper, Path, Place, to_vec};
pub use jetty::{Page, bad_message};
pub use mismatch::{mismatch, mismatched_root, mismatched_text};
pub use syntax::{SyntaxFault, find_fault};
