//! The golden files of `fixtures/dli`; `BLESS=1` writes what differs.

use std::{path::PathBuf, sync::Arc};

use batchlingua_core::Millis;
use batchlingua_testkit::{
    ManualClock,
    golden::{Mode, run},
};

use crate::support::dialect_at;

#[tokio::test]
async fn golden_files_hold() {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/dli");
    // The moment of the reference's example of a list: what runs there has run for 61 seconds.
    let dialect = dialect_at(Arc::new(ManualClock::new(Millis(1_767_225_661_123))));
    let report = run(&dialect, &fixtures, Mode::of_environment()).await;
    report.blessed.iter().for_each(|path| println!("written: {}", path.display()));
    report.assert_clean();
}
