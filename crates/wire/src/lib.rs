//! The HTTP face that all adapters share.
//!
//! An adapter is a [`Dialect`] (bytes of a client to an operation, an outcome to bytes), a platform (a [`batchlingua_core::Backend`]) or
//! both; [`Adapter`] is its one row in the server's table. What adapters would otherwise each write for themselves is here: the head of a
//! request with its path taken apart, the route table, bodies, JSON read by position, content codings, Basic credentials, forms spooled to
//! disk, settings that report every fault with its key, the [`Client`] that backends are asked with, and
//! [`java`]: what several products say by the same libraries.
//!
//! Absent on purpose: any dialect's words, and the socket that clients connect to.

mod adapter;
mod basic;
mod body;
mod client;
mod coding;
mod form;
mod head;
pub mod java;
mod json;
mod native;
mod route;
mod rows;
mod settings;

pub use adapter::{
    Adapter, Decoded, Dialect, DialectMaker, Meaning, OpenContext, Opener, Ownership, Platform, PlatformMaker, Relay,
    RelayRequest, Relayed, WireField, encode_reply,
};
pub use basic::basic_credentials;
pub use body::{Body, BodyError, Part, RequestBody};
pub use client::{
    AccessKey, Answer, AuthScheme, BaseUrl, Call, Client, ClientConfig, Failure, Outgoing, PageSize, Secret, Signer,
    UpstreamError,
};
pub use coding::{Coding, decode_body, encode_body};
pub use form::{FormLimits, read_form};
pub use head::{Asker, Face, Query, RequestHead, Target};
pub use json::{JsonFault, JsonFaultKind, Kind, Member, Members, Place, Value, check_depth, decode_text};
pub use native::NativeObject;
pub use route::{BodyKind, Match, Miss, Route, find};
pub use rows::EncodedRows;
pub use settings::{ConfigError, Settings, parse_bytes, parse_duration};
