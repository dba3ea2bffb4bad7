//! The golden files of `fixtures/kylin`, and of `fixtures/kylin-strict` with that setting; `BLESS=1` writes what differs.

use std::path::PathBuf;

use batchlingua_testkit::golden::{Mode, run};
use serde_json::{Value, json};

use crate::support::dialect;

async fn hold(folder: &str, settings: Value) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(folder);
    let report = run(&dialect(settings), &root, Mode::of_environment()).await;
    report.blessed.iter().for_each(|path| println!("written: {}", path.display()));
    report.assert_clean();
}

#[tokio::test]
async fn golden_files_hold() {
    hold("kylin", json!({})).await;
}

#[tokio::test]
async fn strict_golden_files_hold() {
    hold("kylin-strict", json!({ "strict": true })).await;
}
