//! The server: what turns the crates of Batchlingua into a program.
//!
//! `adapters` says what there is, `config` what the operator wants of it, `server` puts it together behind the sockets of `listener`. What
//! happens is counted by `metrics`, told by `logging` and shown on `admin`. It is a library so that tests reach the same code as the binary;
//! nothing else is meant to build on it.

pub mod adapters;
pub mod admin;
pub mod auth;
mod caller;
pub mod cli;
pub mod config;
pub mod demo;
pub mod descriptors;
pub mod explain;
mod ledger;
pub mod listener;
pub mod logging;
pub mod metrics;
mod opening;
mod print;
pub mod server;
pub mod uploads;
