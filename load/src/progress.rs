//! What is being done and how long it will still take, on stderr.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Counts weighted steps. On a terminal one line is rewritten; elsewhere each measure is a line.
pub(crate) struct Progress {
    total: f64,
    done: f64,
    start: Instant,
    terminal: bool,
    shown: String,
}

impl Progress {
    /// A run whose steps weigh `total` together.
    pub(crate) fn new(total: f64) -> Progress {
        let terminal = std::io::stderr().is_terminal();
        Progress { total, done: 0.0, start: Instant::now(), terminal, shown: String::new() }
    }

    /// Says that `group`, and in it `step`, begins.
    pub(crate) fn step(&mut self, group: &str, step: &str) {
        let left = human(remaining(self.start.elapsed(), self.done, self.total));
        if self.terminal {
            let per_cent = 100.0 * self.done / self.total.max(f64::MIN_POSITIVE);
            eprint!("\r\x1b[K{per_cent:3.0} %  {left}  {group}: {step}");
            let _ = std::io::stderr().flush();
        } else if self.shown != group {
            eprintln!("{group} ({left})");
            group.clone_into(&mut self.shown);
        }
    }

    /// Says that a step of that weight is over.
    pub(crate) fn finished(&mut self, weight: f64) {
        self.done += weight;
    }

    /// A line that stays.
    pub(crate) fn note(&self, text: &str) {
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        eprintln!("{clear}{text}");
    }

    /// Removes the line.
    pub(crate) fn end(&self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }
}

/// Weights are about seconds, so they serve as the estimate until enough was measured.
fn remaining(elapsed: Duration, done: f64, total: f64) -> Duration {
    let pace = if done < 5.0 { 1.0 } else { elapsed.as_secs_f64() / done };
    Duration::from_secs_f64((pace * (total - done)).clamp(0.0, 1e6))
}

fn human(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 90 { format!("{seconds} s left") } else { format!("{} min left", seconds.div_ceil(60)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_the_pace_so_far() {
        assert_eq!(remaining(Duration::from_secs(20), 10.0, 30.0), Duration::from_secs(40));
        assert_eq!(remaining(Duration::from_secs(0), 0.0, 30.0), Duration::from_secs(30));
        assert_eq!(remaining(Duration::from_secs(60), 30.0, 30.0), Duration::ZERO);
        assert_eq!(human(Duration::from_secs(91)), "2 min left");
    }
}
