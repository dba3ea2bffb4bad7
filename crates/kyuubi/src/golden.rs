//! The golden files of `fixtures/kyuubi`; `BLESS=1` writes what differs.

use batchlingua_testkit::golden::{Mode, run};
use serde_json::json;

use crate::recorded::{dialect, fixtures};

#[tokio::test]
async fn golden_files_hold() {
    let report = run(&*dialect(json!({})), &fixtures().join("kyuubi"), Mode::of_environment()).await;
    report.blessed.iter().for_each(|path| println!("written: {}", path.display()));
    report.assert_clean();
}
