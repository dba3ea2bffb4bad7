//! One behaviour for all engines (`suite`), what only files can do (`sqlite`), what only several processes on one database can do
//! (`postgres`, over TLS in `tls`), and random histories: against a model (`model`), and of several processes (`replicas`).

mod archive;
mod house;
mod model;
mod postgres;
mod replicas;
mod sqlite;
mod suite;
mod tls;
