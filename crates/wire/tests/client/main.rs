//! The outbound client against backends that answer as no server should, by the testkit's origin.

mod answers;
mod caller;
mod config;
mod kept;
mod limits;
mod proxy;
mod sending;
mod stream;
mod support;
mod tls;
