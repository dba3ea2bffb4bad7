//! Where the stand-in lies; shared by tests and benches.

use std::{env, path::PathBuf, process::Command, sync::OnceLock};

/// The stand-in's path. A plain `cargo test` has built it beside the tests; a run of chosen targets has not, or has left an older one there,
/// so it is built here then.
pub(crate) fn stand_in() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| {
        let here = env::current_exe().expect("a test knows its own path");
        let profile = here.ancestors().nth(2).expect("it lies in target/<profile>/deps");
        let path: PathBuf = profile.join("examples/stand_in");
        let made = |file: &PathBuf| file.metadata().and_then(|file| file.modified()).ok();
        if made(&path) < made(&here) {
            let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let mut build = Command::new(cargo);
            build.args(["build", "--package", "batchlingua-local", "--example", "stand_in"]);
            if profile.ends_with("release") {
                build.arg("--release");
            }
            build.arg("--target-dir").arg(profile.parent().expect("target"));
            assert!(build.status().expect("cargo runs").success(), "the stand-in cannot be built");
        }
        path.into_os_string().into_string().expect("paths of tests are text")
    })
}
