//! When to try again, and when to give up.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::{Error, ErrorKind, Retry};

/// What a retry costs, in units of the bucket; a success gives one unit back.
const COST: u32 = 10;
/// Least time that an attempt gets, however little is left.
const LEAST: Duration = Duration::from_millis(250);

/// Retries that a client may still do, so that an outage is not met with a multiple of the usual requests.
#[derive(Debug)]
pub(crate) struct Bucket {
    left: AtomicU32,
    most: u32,
}

impl Bucket {
    pub(crate) fn new(tokens: u32) -> Bucket {
        let most = tokens.saturating_mul(COST);
        Bucket { left: AtomicU32::new(most), most }
    }

    /// A request succeeded.
    pub(crate) fn give(&self) {
        // Full nearly always: then there is nothing to write.
        if self.left.load(Ordering::Relaxed) < self.most {
            let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                (left < self.most).then_some(left + 1)
            });
        }
    }

    /// Pays for a retry; false if there is nothing left.
    pub(crate) fn take(&self) -> bool {
        let take = |left: u32| left.checked_sub(COST);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

/// The attempts of one call.
#[derive(Debug)]
pub(crate) struct Tries<'a> {
    retry: &'a Retry,
    bucket: &'a Bucket,
    started: Instant,
    sending: Duration,
    attempts: u32,
    resent: bool,
}

impl<'a> Tries<'a> {
    pub(crate) fn new(retry: &'a Retry, bucket: &'a Bucket) -> Tries<'a> {
        let started = Instant::now();
        Tries { retry, bucket, started, sending: Duration::ZERO, attempts: 0, resent: false }
    }

    /// Begins an attempt that by itself may take `limit`, and says how long it may take: later attempts end when the
    /// budget, or the first one, would have.
    pub(crate) fn begin(&mut self, limit: Duration) -> Duration {
        self.attempts += 1;
        if self.attempts == 1 {
            return limit;
        }
        let left = self.retry.budget.max(limit).saturating_sub(self.elapsed());
        limit.min(left.max(LEAST))
    }

    /// Does not count the attempt that was begun last: it ended with 401, and the session was renewed.
    pub(crate) fn forgive(&mut self) {
        self.attempts = self.attempts.saturating_sub(1);
    }

    /// An attempt failed, whose body was on its way for `sending`. Waits until the next one may begin, or returns the
    /// error that ends the call.
    pub(crate) async fn again(&mut self, error: Error, sending: Duration) -> Result<(), Error> {
        self.sending += sending;
        let Some(delay) = self.delay(&error) else { return Err(error.after(self.attempts)) };
        tracing::debug!(
            %error,
            transaction = error.transaction().map(tracing::field::display),
            attempt = self.attempts,
            ?delay,
            "trying again"
        );
        tokio::time::sleep(delay).await;
        Ok(())
    }

    /// How long to wait before the next attempt; none if there is to be none.
    fn delay(&mut self, error: &Error) -> Option<Duration> {
        let may = match error.kind() {
            ErrorKind::Connection
            | ErrorKind::Timeout
            | ErrorKind::RateLimited
            | ErrorKind::ShortBody
            | ErrorKind::Unavailable => true,
            // Bytes that were spoilt on their way are sent once more.
            ErrorKind::Checksum => !std::mem::replace(&mut self.resent, true),
            _ => false,
        };
        if !may || self.attempts >= self.retry.attempts {
            return None;
        }
        let delay = backoff(self.retry, self.attempts).max(error.retry_after().unwrap_or_default());
        if self.elapsed() + delay >= self.retry.budget || !self.bucket.take() {
            return None;
        }
        Some(delay)
    }

    /// Time since the call began in which no body was on its way.
    fn elapsed(&self) -> Duration {
        self.started.elapsed().saturating_sub(self.sending)
    }
}

/// The wait after the given attempt: anything up to the first delay doubled for each attempt ("full jitter").
pub(crate) fn backoff(retry: &Retry, attempt: u32) -> Duration {
    let doubled = retry.first_delay.saturating_mul(1 << attempt.saturating_sub(1).min(16));
    let longest = doubled.min(retry.longest_delay);
    longest.mul_f64(f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, StatusCode};

    fn unavailable(retry_after: Option<&'static str>) -> Error {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert("retry-after", value.parse().expect("a header"));
        }
        Error::answer(StatusCode::SERVICE_UNAVAILABLE, &headers, "")
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_are_counted_and_later_ones_end_with_the_budget() {
        let (retry, bucket) = (Retry::default(), Bucket::new(100));
        let mut tries = Tries::new(&retry, &bucket);
        let four = Duration::from_secs(4);
        assert_eq!(tries.begin(four), four);
        for _ in 1..retry.attempts {
            tries.again(unavailable(None), Duration::ZERO).await.expect("one more");
            assert!(tries.begin(four) <= four);
        }
        let error = tries.again(unavailable(None), Duration::ZERO).await.expect_err("no more");
        assert_eq!(error.attempts(), 5);
        assert!(tries.elapsed() < four);
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_is_obeyed_or_ends_the_call() {
        let (retry, bucket) = (Retry::default(), Bucket::new(100));
        let mut tries = Tries::new(&retry, &bucket);
        tries.begin(Duration::from_secs(1));
        tries.again(unavailable(Some("2")), Duration::ZERO).await.expect("within the budget");
        assert!(tries.elapsed() >= Duration::from_secs(2));
        tries.begin(Duration::from_secs(1));
        let error =
            tries.again(unavailable(Some("60")), Duration::ZERO).await.expect_err("beyond the budget");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(60)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_bucket_ends_retries_for_everybody_until_requests_succeed() {
        let (retry, bucket) = (Retry::default(), Bucket::new(1));
        let mut tries = Tries::new(&retry, &bucket);
        tries.begin(Duration::from_secs(1));
        tries.again(unavailable(None), Duration::ZERO).await.expect("the only token");
        tries.begin(Duration::from_secs(1));
        tries.again(unavailable(None), Duration::ZERO).await.expect_err("none left");
        for _ in 0..COST {
            bucket.give();
        }
        assert!(bucket.take() && !bucket.take());
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_a_body_was_on_its_way_is_not_counted() {
        let (retry, bucket) = (Retry::default(), Bucket::new(100));
        let mut tries = Tries::new(&retry, &bucket);
        tries.begin(Duration::from_secs(4));
        let body = Duration::from_secs(30);
        tokio::time::advance(body).await;
        tries.again(unavailable(None), body).await.expect("the budget is whole");
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_that_were_spoilt_are_sent_once_more_and_what_cannot_help_is_not_tried() {
        let (retry, bucket) = (Retry::default(), Bucket::new(100));
        let mut tries = Tries::new(&retry, &bucket);
        tries.begin(Duration::from_secs(1));
        let spoilt = || Error::new(ErrorKind::Checksum, "");
        tries.again(spoilt(), Duration::ZERO).await.expect("once");
        tries.begin(Duration::from_secs(1));
        tries.again(spoilt(), Duration::ZERO).await.expect_err("only once");
        for kind in [ErrorKind::NotFound, ErrorKind::Forbidden, ErrorKind::Full, ErrorKind::Superseded] {
            let mut tries = Tries::new(&retry, &bucket);
            tries.begin(Duration::from_secs(1));
            tries.again(Error::new(kind, ""), Duration::ZERO).await.expect_err("final");
        }
    }
}
