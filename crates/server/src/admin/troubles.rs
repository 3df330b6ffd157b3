//! What is wrong now beside the store, readiness and damaged blobs: a sentence each, for the status.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::app::App;
use crate::recent::{Counts, SLOW, WINDOW};

/// A certificate that ends sooner is a trouble, in seconds.
const CERTIFICATE: i64 = 7 * 24 * 3600;
const DAY: i64 = 24 * 3600;
/// What was not verified for longer is a trouble.
const SCRUB: Duration = Duration::from_secs(45 * 24 * 3600);

/// All of them; empty where all is well. The limits are those of the alert rules.
pub(super) fn now(app: &App) -> Vec<Value> {
    let recent = app.metrics.recent().counts(Instant::now());
    let certificate = app.health.certificate_seconds_left();
    // Where everything is refused the status says so by itself: taken out, or without its store.
    let in_service = app.health.is_ready() && app.health.store_works();
    let found = [
        failing(recent).filter(|_| in_service),
        slow(recent),
        memory(app.registry.buffers()),
        certificate.and_then(ending),
        app.scrub.oldest_unverified().and_then(late),
    ];
    let trouble = |(name, text): (&str, String)| json!({ "name": name, "text": text });
    found.into_iter().flatten().map(trouble).collect()
}

/// More than 5 % of the requests.
fn failing(recent: Counts) -> Option<(&'static str, String)> {
    let Counts { requests, failed, .. } = recent;
    (failed > 1 && failed * 20 > requests).then(|| {
        let seconds = WINDOW.as_secs();
        let why = "the log's lines \"the request failed\" say why";
        ("requests_failing", format!("{failed} of {requests} requests failed in {seconds} s: {why}"))
    })
}

/// More than 1 %, so that the 99th percentile is above the limit.
fn slow(recent: Counts) -> Option<(&'static str, String)> {
    let Counts { small, slow, .. } = recent;
    (slow > 1 && slow * 100 > small).then(|| {
        let (seconds, limit) = (WINDOW.as_secs(), SLOW.as_secs());
        let text =
            format!("{slow} of {small} reads of manifests and tags took over {limit} s, in {seconds} s");
        ("requests_slow", text)
    })
}

/// More than 95 % of the byte budget.
fn memory((held, all): (u64, u64)) -> Option<(&'static str, String)> {
    (held * 20 > all * 19).then(|| {
        let why = "answers wait for clients that do not read, or raise http.limits.buffer_bytes";
        ("memory_for_bodies", format!("{held} of {all} bytes of memory for bodies are held: {why}"))
    })
}

fn ending(seconds: i64) -> Option<(&'static str, String)> {
    if seconds >= CERTIFICATE {
        return None;
    }
    let when = if seconds > 0 { format!("ends in {} days", seconds / DAY) } else { "has ended".to_owned() };
    let text = format!("the certificate of the listener {when}: put a new one in its place");
    Some(("certificate_ends", text))
}

/// The scrub does not get round.
fn late(oldest: Duration) -> Option<(&'static str, String)> {
    (oldest > SCRUB).then(|| {
        let days = oldest.as_secs() / (24 * 3600);
        let text = format!(
            "not everything was verified for {days} days: the scrub is held up, or scrub.rate is too little \
             for scrub.period"
        );
        ("scrub_late", text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_those_of_the_alerts() {
        let counts = |requests, failed, small, slow| Counts { requests, failed, small, slow };
        assert!(failing(counts(100, 5, 0, 0)).is_none() && failing(counts(100, 6, 0, 0)).is_some());
        assert!(slow(counts(0, 0, 200, 2)).is_none() && slow(counts(0, 0, 200, 3)).is_some());
        // One of few says nothing.
        assert!(failing(counts(1, 1, 0, 0)).is_none() && slow(counts(0, 0, 1, 1)).is_none());
        assert!(memory((95, 100)).is_none() && memory((96, 100)).is_some());
        assert!(late(SCRUB).is_none());
        assert!(late(SCRUB + Duration::from_secs(1)).unwrap().1.contains("for 45 days"));
        assert!(ending(CERTIFICATE).is_none());
        assert!(ending(CERTIFICATE - 1).unwrap().1.contains("in 6 days"));
        assert!(ending(-1).unwrap().1.contains("has ended"));
    }
}
