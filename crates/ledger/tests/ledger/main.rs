//! One behaviour for all engines (`suite`), what only files can do (`sqlite`), and random histories against a model (`model`).

mod house;
mod model;
mod sqlite;
mod suite;
