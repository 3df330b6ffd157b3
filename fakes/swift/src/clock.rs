//! Swift's time: hundred-thousandths of a second since 1970, one clock per front end, movable by tests.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// How many ticks of a [`Timestamp`] a second has.
pub(crate) const TICKS: u64 = 100_000;

/// A moment in Swift's resolution of 10 microseconds, as in `X-Timestamp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub(crate) u64);

impl Timestamp {
    /// Reads `1764015772.12345`.
    pub(crate) fn parse(text: &str) -> Option<Timestamp> {
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let fraction: u64 = format!("{fraction:0<5}").get(..5)?.parse().ok()?;
        Some(Timestamp(seconds.parse::<u64>().ok()? * TICKS + fraction))
    }

    /// Whole seconds since 1970, rounded down.
    pub fn seconds(self) -> u64 {
        self.0 / TICKS
    }

    /// Whole seconds since 1970, rounded up, as `Last-Modified` has them.
    pub(crate) fn seconds_up(self) -> u64 {
        self.0.div_ceil(TICKS)
    }

    /// This moment and so much later.
    pub(crate) fn after(self, time: Duration) -> Timestamp {
        Timestamp(self.0 + ticks(time))
    }

    /// As listings have it: `2026-11-24T20:22:52.123450`.
    pub(crate) fn iso(self) -> String {
        let moment = date(self.seconds());
        let (date, hour, minute, second) = (moment.date(), moment.hour(), moment.minute(), moment.second());
        let micros = (self.0 % TICKS) * 10;
        format!("{date}T{hour:02}:{minute:02}:{second:02}.{micros:06}")
    }
}

impl fmt::Display for Timestamp {
    /// As `X-Timestamp` has it: `1764015772.12345`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:05}", self.0 / TICKS, self.0 % TICKS)
    }
}

/// An HTTP date (RFC 9110, section 5.6.7) of so many seconds since 1970.
pub(crate) fn http_date(seconds: u64) -> String {
    let text = date(seconds).format(&Rfc2822).expect("a date of this era");
    text.replace("+0000", "GMT")
}

fn date(seconds: u64) -> OffsetDateTime {
    let seconds = i64::try_from(seconds).expect("seconds of this era");
    OffsetDateTime::from_unix_timestamp(seconds).expect("a date of this era")
}

pub(crate) fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_micros() / 10).expect("a duration of this era")
}

/// The clocks of all front ends. No front end gives out the same moment twice.
#[derive(Debug)]
pub(crate) struct Clocks {
    advanced: u64,
    skews: Vec<i64>,
    last: Vec<u64>,
}

impl Clocks {
    /// One clock per skew, in milliseconds (negative: behind).
    pub(crate) fn new(skews_ms: &[i64]) -> Clocks {
        let skews: Vec<i64> = skews_ms.iter().map(|skew| skew * 100).collect();
        Clocks { advanced: 0, last: vec![0; skews.len()], skews }
    }

    /// Moves all clocks on.
    pub(crate) fn advance(&mut self, time: Duration) {
        self.advanced += ticks(time);
    }

    /// Changes the skew of one front end, in milliseconds.
    pub(crate) fn set_skew(&mut self, front_end: usize, skew_ms: i64) {
        self.skews[front_end] = skew_ms * 100;
        self.last[front_end] = 0;
    }

    /// The time without any skew, which delays and lives of tokens are measured by.
    pub(crate) fn true_time(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        Timestamp(ticks(since) + self.advanced)
    }

    /// What the clock of that front end says: later than all that it said before.
    pub(crate) fn now(&mut self, front_end: usize) -> Timestamp {
        let now = self.true_time().0.saturating_add_signed(self.skews[front_end]);
        let now = now.max(self.last[front_end] + 1);
        self.last[front_end] = now;
        Timestamp(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_swift_writes_them() {
        let moment = Timestamp(176_401_577_212_345);
        assert_eq!(moment.to_string(), "1764015772.12345");
        assert_eq!(Timestamp::parse("1764015772.12345"), Some(moment));
        assert_eq!(moment.iso(), "2025-11-24T20:22:52.123450");
        assert_eq!(http_date(moment.seconds_up()), "Mon, 24 Nov 2025 20:22:53 GMT");
    }

    #[test]
    fn a_front_end_never_says_the_same_moment_twice_and_keeps_its_skew() {
        let mut clocks = Clocks::new(&[0, 300_000]);
        let first = clocks.now(0);
        assert!(clocks.now(0) > first);
        assert!(clocks.now(1) > first.after(Duration::from_secs(299)));
    }
}
