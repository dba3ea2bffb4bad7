//! The router over a ledger and a backend in memory, asked as clients ask it: by requests, in a dialect that exists only here.
//!
//! Time is paused: it runs only when nobody works. What a test waits for is an event, or a span that passes at once.

mod house;
mod mortal;
mod odd;
mod plain;
mod watched;

mod control;
mod drain;
mod follow_up;
mod foreign;
mod http;
mod interleavings;
mod keys;
mod lists;
mod logs;
mod outage;
mod polls;
mod projects;
mod restart;
mod rights;
mod rounds;
mod storm;
mod submit;
mod uploads;
mod upstream;
