//! How far a long command is, on a terminal.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use wharfinger_maintenance::Watch;

/// A step that takes less is not worth a line.
const QUIET: Duration = Duration::from_secs(2);
/// Between two lines.
const EVERY: Duration = Duration::from_millis(200);

/// One line on stderr that is written over and over; nothing where stderr is no terminal.
pub(crate) struct Progress {
    shown: bool,
    step: Mutex<Step>,
}

struct Step {
    name: &'static str,
    total: Option<u64>,
    done: u64,
    started: Instant,
    told: Option<Instant>,
}

impl Progress {
    pub(crate) fn new() -> Progress {
        let now = Instant::now();
        let step = Step { name: "", total: None, done: 0, started: now, told: None };
        Progress { shown: std::io::stderr().is_terminal(), step: Mutex::new(step) }
    }

    /// Takes the line away.
    pub(crate) fn clear(&self) {
        if self.step.lock().told.take().is_some() {
            eprint!("\r\x1b[2K");
        }
    }
}

impl Watch for Progress {
    fn begin(&self, step: &'static str, total: Option<u64>) {
        self.clear();
        *self.step.lock() = Step { name: step, total, done: 0, started: Instant::now(), told: None };
    }

    fn wants_totals(&self) -> bool {
        self.shown
    }

    fn expect(&self, total: u64) {
        self.step.lock().total = Some(total);
    }

    fn advance(&self, by: u64) {
        let mut step = self.step.lock();
        step.done += by;
        if !self.shown || step.started.elapsed() < QUIET || step.told.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        step.told = Some(Instant::now());
        let line = describe(step.name, step.done, step.total, step.started.elapsed());
        let mut stderr = std::io::stderr().lock();
        let _ = write!(stderr, "\r\x1b[2K{line}").and_then(|()| stderr.flush());
    }
}

fn describe(step: &str, done: u64, total: Option<u64>, elapsed: Duration) -> String {
    let Some(total) = total.filter(|total| *total > 0) else { return format!("{step}: {done}") };
    let share = done as f64 / total as f64;
    let left = elapsed.as_secs_f64() * (1.0 - share) / share.max(f64::MIN_POSITIVE);
    let left = humantime::format_duration(Duration::from_secs(left.clamp(0.0, 1e9) as u64));
    format!("{step}: {done} of {total}, {:.0} %, {left} left", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_how_much_is_left() {
        let ten = Duration::from_secs(10);
        assert_eq!(describe("hashing", 25, Some(100), ten), "hashing: 25 of 100, 25 %, 30s left");
        assert_eq!(describe("listing", 7, None, ten), "listing: 7");
        assert_eq!(describe("nothing", 0, Some(0), ten), "nothing: 0");
    }
}
