//! Whatever a platform does not get is told, and never left out in silence; whatever it gets is not complained of.

use batchlingua_testkit::conformance::Job;
use serde_json::{Value, json};

use crate::{
    chains::{Chain, PLATFORMS},
    voices::{Dli, Kyuubi, Livy, VOICES, Voice},
};

/// A member that only this dialect has, which is told where it is lost.
fn own(front: &dyn Voice) -> Option<(&'static str, Value)> {
    match front.dialect() {
        "dli" => Some(("feature", json!("ai"))),
        _ => None,
    }
}
