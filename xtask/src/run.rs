//! Running programs: where things lie, output kept in files, steps with names and times.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Lines of a failed step's output that are shown.
const TAIL: usize = 80;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

/// Cargo's target directory.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A cargo command in the repository, of the toolchain that runs this program.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(arguments);
    // Set by the cargo that runs this program; the inner one finds its own.
    for name in ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
        command.env_remove(name);
    }
    command
}

/// Runs a command to its end on this terminal.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{} does not start", show(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", show(command));
    }
    Ok(())
}

/// Standard output of a command that must succeed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{} does not start", show(command)))?;
    if !output.status.success() {
        bail!("{} ended with {}: {}", show(command), output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn show(command: &Command) -> String {
    let words = command.get_args().map(|word| word.to_string_lossy().into_owned());
    let program = command.get_program().to_string_lossy().into_owned();
    std::iter::once(program).chain(words).collect::<Vec<_>>().join(" ")
}

/// The steps of one run: each prints its name and time, and keeps its output below `target/xtask`.
pub(crate) struct Steps {
    started: Instant,
    done: Vec<(String, Duration)>,
    passed: usize,
    failed: usize,
}

impl Default for Steps {
    fn default() -> Self {
        Steps { started: Instant::now(), done: Vec::new(), passed: 0, failed: 0 }
    }
}

impl Steps {
    /// Runs a command; on failure shows the end of its output.
    pub(crate) fn command(&mut self, name: &str, command: &mut Command) -> Result<()> {
        self.step(name, |log| run_into(command, log))
    }

    /// Runs commands at the same time, because each of them waits more than it works.
    pub(crate) fn side_by_side(&mut self, commands: Vec<(&str, Command)>) -> Vec<Result<()>> {
        let run = |name: &str, mut command: Command| {
            let (start, log) = (Instant::now(), log_of(name)?);
            let result = run_into(&mut command, &log);
            anyhow::Ok((result, log, start.elapsed()))
        };
        std::thread::scope(|scope| {
            let mut running = Vec::new();
            for (name, command) in commands {
                println!("==> {name}");
                running.push((name, scope.spawn(move || run(name, command))));
            }
            let ended = running.into_iter().map(|(name, thread)| {
                let ended = thread.join().unwrap_or_else(|_| bail!("step `{name}` broke down"));
                let (result, log, time) = ended?;
                println!("    {name}:");
                self.ended(name, &log, time, result)
            });
            ended.collect()
        })
    }

    /// Runs `work`, which may write its output to the file it is given.
    pub(crate) fn step(&mut self, name: &str, work: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let log = log_of(name)?;
        println!("==> {name}");
        let start = Instant::now();
        let result = work(&log);
        self.ended(name, &log, start.elapsed(), result)
    }

    /// Counts a step that took so long, and prints how it ended.
    fn ended(&mut self, name: &str, log: &Path, time: Duration, result: Result<()>) -> Result<()> {
        let (passed, failed) = count_tests(log);
        self.passed += passed;
        self.failed += failed;
        let outcome = if result.is_ok() { "ok" } else { "FAILED" };
        let tests =
            if passed + failed > 0 { format!(", {passed} passed, {failed} failed") } else { String::new() };
        println!("    {outcome} in {:.1} s{tests}", time.as_secs_f64());
        self.done.push((name.to_owned(), time));
        result.with_context(|| format!("step `{name}`"))
    }

    /// Adds cases that a test counted by itself.
    pub(crate) fn add_cases(&mut self, passed: usize, failed: usize) {
        self.passed += passed;
        self.failed += failed;
    }

    /// Prints all steps with their times and closes with the count of tests.
    pub(crate) fn summary(&self, failed: bool) {
        println!("\nsummary");
        for (name, time) in &self.done {
            println!("  {:>7.1} s  {name}", time.as_secs_f64());
        }
        println!("  {:>7.1} s  together", self.started.elapsed().as_secs_f64());
        // A step that is no test (a lint, say) counts as one failure.
        let failures = if failed { self.failed.max(1) } else { self.failed };
        println!("{} passed, {failures} failed", self.passed);
    }
}

/// The empty file for a step's output.
fn log_of(name: &str) -> Result<PathBuf> {
    let log = target().join("xtask").join(format!("{}.log", name.replace(' ', "-")));
    fs::create_dir_all(log.parent().unwrap_or(&log))?;
    let _ = fs::remove_file(&log);
    Ok(log)
}

fn run_into(command: &mut Command, log: &Path) -> Result<()> {
    let mut out = File::create(log)?;
    writeln!(out, "$ {}", show(command))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        .status()
        .with_context(|| format!("{} does not start", show(command)))?;
    if !status.success() {
        bail!("{} ended with {status}\n{}\n(all of it: {})", show(command), tail(log), log.display());
    }
    Ok(())
}

/// Sums cargo's `test result: ok. N passed; M failed; ...` lines.
fn count_tests(log: &Path) -> (usize, usize) {
    let mut text = String::new();
    if let Ok(mut file) = File::open(log) {
        let _ = file.read_to_string(&mut text);
    }
    let (mut passed, mut failed) = (0, 0);
    for line in text.lines().filter(|line| line.starts_with("test result:")) {
        passed += number_before(line, " passed");
        failed += number_before(line, " failed");
    }
    (passed, failed)
}

/// The number that stands before `word` in `line`; 0 when there is none.
pub(crate) fn number_before(line: &str, word: &str) -> usize {
    let before = line.split(word).next().unwrap_or_default();
    before.rsplit(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn tail(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_counts_are_read_from_cargos_lines() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(number_before(line, " passed"), 12);
        assert_eq!(number_before(line, " failed"), 3);
        assert_eq!(number_before("862 passed, 0 failed, 0 skipped", " passed"), 862);
        assert_eq!(number_before("nothing", " passed"), 0);
    }
}
