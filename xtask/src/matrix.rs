//! What takes too long for each run of the tests, or needs a release build on a quiet machine.

use anyhow::{Context, Result};

use crate::run::{self, Steps, cargo};

/// Runs the long forms, and prints the figures that they tell.
pub(crate) fn matrix() -> Result<()> {
    let mut steps = Steps::default();
    let result = run_all(&mut steps);
    steps.summary(result.is_err());
    for name in
        ["walks-over-many-blobs", "walks-over-a-directory", "two-sites-of-many-objects", "false-alarms"]
    {
        let log = run::target().join("xtask").join(format!("{name}.log"));
        let text = std::fs::read_to_string(&log).with_context(|| log.display().to_string())?;
        text.lines()
            .filter(|line| line.contains(" MiB") || line.contains("fsck ") || line.contains("no false alarm"))
            .for_each(|line| println!("{line}"));
    }
    result
}

fn run_all(steps: &mut Steps) -> Result<()> {
    steps.command("release build", &mut cargo(&["build", "--release", "-p", "wharfinger"]))?;
    let long = ["--", "--ignored", "--nocapture", "--test-threads", "1"];
    let mut scale = cargo(&["test", "--release", "-p", "wharfinger-maintenance", "--test", "scale"]);
    steps.command("walks over many blobs", scale.args(long))?;
    let mut directory =
        cargo(&["test", "--release", "-p", "wharfinger-tests", "--features", "full", "--test", "fsck_scale"]);
    directory.env("WHARFINGER_BIN", run::target().join("release/wharfinger"));
    steps.command("walks over a directory", directory.args(long))?;
    let mut compare =
        cargo(&["test", "-p", "wharfinger-tests", "--features", "full", "--test", "swift_compare"]);
    steps.command("two sites of many objects", compare.args(long))?;
    let mut alarms = cargo(&["test", "--release", "-p", "wharfinger-maintenance", "--test", "false_alarms"]);
    steps.command("false alarms", alarms.env("WHARFINGER_STEPS", "10000").args(["--", "--nocapture"]))
}
