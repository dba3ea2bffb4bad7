//! One test binary over the whole house: every module here sees the proxy as its clients and its operator do, as a process with
//! a configuration file, sockets and signals. What a single crate can show by itself is tested in that crate.

mod bad_input;
mod client;
mod jobs;
mod kill;
mod once;
mod proxy;
mod recordings;
mod scoreboard;
mod secrets;
mod slow;
mod smuggling;
mod uploads;
mod wire;
