//! How one server does, on one screen.

use std::fmt::Display;
use std::time::Duration;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use wharfinger_maintenance::instances::Fleet;

use crate::units;

/// Lines of a name and what there is to say of it.
#[derive(Default)]
struct Screen(String);

impl Screen {
    fn line(&mut self, name: &str, what: impl Display) {
        self.0 += &format!("{name:<18} {what}\n");
    }
}

pub(super) fn page(status: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let mut screen = Screen::default();
    screen.line("version", text(&status["version"]));
    screen.line("mode", text(&status["mode"]));
    screen.line("role", text(&status["role"]));
    screen.line("ready", if status["ready"] == true { "yes" } else { "no: draining or taken out by hand" });
    screen.line("store", store(&status["store"]));
    screen.line("redis", redis(&status["redis"]).unwrap_or_else(|| "-".to_owned()));
    screen.line("cache", cache(&status["cache"]).unwrap_or_else(|| "-".to_owned()));
    if let Some(line) = servable(&status["servable"]) {
        screen.line("without the store", line);
    }
    for (address, port) in status["ports"].as_object().into_iter().flatten() {
        let error = port["error"].as_str().map_or(String::new(), |error| format!(": {error}"));
        screen.line(&format!("port {address}"), format!("{}{error}", text(&port["status"])));
    }
    let marks = match status["damaged_marks"].as_u64() {
        Some(marks) => format!("{marks} marks in the store"),
        None => "the marks in the store cannot be counted".to_owned(),
    };
    screen.line("damaged blobs", format!("{}; {marks}", status["damaged_blobs"].as_u64().unwrap_or(0)));
    screen.line("last scrub", scrub(&status["scrub"]));
    screen.line("uploads in flight", &status["uploads_in_flight"]);
    let instances = &status["instances"];
    screen.line("instances", instances_line(instances["count"].as_u64(), instances["troubled"].as_u64()));
    screen.line("log level", text(&status["log_level"]));
    screen.0
}

/// What there is to say where no server answers.
pub(super) fn store_alone(
    no_server: &anyhow::Error,
    place: &str,
    error: Option<&str>,
    marks: Option<usize>,
    fleet: Option<&Fleet>,
) -> String {
    let mut screen = Screen(format!("{no_server:#}; the store:\n"));
    let reachable = error.map_or("answers".to_owned(), |error| format!("does not answer: {error}"));
    screen.line("store", format!("{place} {reachable}"));
    if let Some(marks) = marks {
        screen.line("damaged blobs", format!("{marks} marks in the store"));
    }
    if let Some(fleet) = fleet {
        let count = |number: usize| Some(number as u64);
        screen.line("instances", instances_line(count(fleet.instances.len()), count(fleet.troubled())));
    }
    screen.0
}

fn instances_line(count: Option<u64>, troubled: Option<u64>) -> String {
    let more = "wharfinger status --all-instances";
    match (count, troubled) {
        (None, _) => "cannot be counted: the store does not tell".to_owned(),
        (Some(count), Some(0) | None) => count.to_string(),
        (Some(count), Some(troubled)) => format!("{count}, {troubled} silent or not well: {more}"),
    }
}

fn store(store: &Value) -> String {
    let probe = &store["probe"];
    let age = probe["age_seconds"].as_u64().map_or(String::new(), |age| format!(", probed {age} s ago"));
    let error = probe["error"].as_str().map_or(String::new(), |error| format!(": {error}"));
    let (driver, state) = (store["driver"].as_str(), probe["status"].as_str());
    format!("{} {}{age}{error}", driver.unwrap_or("?"), state.unwrap_or("?"))
}

/// On Redis, where there is one.
fn redis(redis: &Value) -> Option<String> {
    let state = redis["state"].as_str()?;
    if let Some(since) = moment(&redis["bypassed_since"]) {
        let passed = redis["bypassed"].as_u64().unwrap_or(0);
        return Some(format!("{state} since {since}, {passed} lookups went by"));
    }
    Some(format!("{state}, {}", share(redis["hit"].as_u64()?, redis["miss"].as_u64()?)))
}

/// On the disk cache, where there is one.
fn cache(cache: &Value) -> Option<String> {
    let (copies, bytes) = (cache["copies"].as_u64()?, cache["bytes"].as_u64()?);
    let share = share(cache["hits"].as_u64()?, cache["misses"].as_u64()?);
    Some(format!("{copies} copies, {}, {share}", units::size(bytes)))
}

/// `found 93 % of 4512 lookups`.
fn share(hits: u64, misses: u64) -> String {
    match (hits * 100).checked_div(hits + misses) {
        Some(percent) => format!("found {percent} % of {} lookups", hits + misses),
        None => "not asked yet".to_owned(),
    }
}

/// Which images could be pulled with the store gone.
fn servable(servable: &Value) -> Option<String> {
    let (images, whole) = (servable["images"].as_u64()?, servable["whole"].as_u64()?);
    let percent = (whole * 100).checked_div(images)?;
    Some(format!("{whole} of {images} images pulled lately could be served ({percent} %)"))
}

/// When the last pass over everything ended and what it found; how far the first one is.
fn scrub(scrub: &Value) -> String {
    let damaged = |of: &Value| match (of["blobs"].as_u64(), of["damaged"].as_u64()) {
        (Some(blobs), Some(damaged)) => format!("{blobs} blobs read, {damaged} damaged"),
        _ => "it does not say what it found".to_owned(),
    };
    let last = &scrub["last_pass"];
    if let Some(ended) = moment(&last["ended_at"]) {
        return format!("{ended}: {}", damaged(last));
    }
    match moment(&scrub["pass_started_at"]) {
        Some(started) => format!("the first runs since {started}: {}", damaged(scrub)),
        None => "-".to_owned(),
    }
}

/// A time in RFC 3339, on the clock of UTC.
fn moment(time: &Value) -> Option<String> {
    let time = OffsetDateTime::parse(time.as_str()?, &Rfc3339).ok()?;
    let now = OffsetDateTime::now_utc();
    Some(clock(now, (now - time).try_into().unwrap_or_default()))
}

/// The time so long ago on the clock of UTC, with the date where that was not today.
pub(super) fn clock(now: OffsetDateTime, ago: Duration) -> String {
    let then = now - ago;
    let format = if then.date() == now.date() {
        then.format(format_description!("[hour]:[minute]Z"))
    } else {
        then.format(format_description!("[year]-[month]-[day] [hour]:[minute]Z"))
    };
    format.unwrap_or_else(|_| format!("{} s ago", ago.as_secs()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn times_are_those_of_the_clock_and_have_a_date_when_it_was_not_today() {
        let now = datetime!(2026-11-29 00:30 UTC);
        assert_eq!(clock(now, Duration::from_secs(60)), "00:29Z");
        assert_eq!(clock(now, Duration::from_secs(3600)), "2026-11-28 23:30Z");
    }

    #[test]
    fn parts_that_are_not_there_are_a_dash() {
        let status = json!({ "version": "1", "mode": "trial", "role": "active", "ready": true,
            "store": { "driver": "swift", "probe": { "status": "unknown" } }, "uploads_in_flight": 0,
            "instances": null, "log_level": "info" });
        let page = page(&status);
        for line in [
            "redis              -",
            "cache              -",
            "last scrub         -",
            "store              swift unknown",
        ] {
            assert!(page.lines().any(|told| told == line), "{line}\n{page}");
        }
    }

    #[test]
    fn the_last_scrub_that_ended_counts_and_else_the_one_that_runs() {
        let passes = |last: Value| json!({ "pass_started_at": "2026-11-02T00:00:00Z", "blobs": 7, "damaged": 1, "last_pass": last });
        let ended = json!({ "ended_at": "2026-11-01T12:03:59Z", "blobs": 900, "damaged": 0 });
        assert_eq!(scrub(&passes(ended)), "2026-11-01 12:03Z: 900 blobs read, 0 damaged");
        let first = "the first runs since 2026-11-02 00:00Z: 7 blobs read, 1 damaged";
        assert_eq!(scrub(&passes(Value::Null)), first);
        assert_eq!((scrub(&Value::Null), scrub(&json!({}))), ("-".into(), "-".into()));
    }

    #[test]
    fn shares_are_of_what_was_asked_for() {
        assert_eq!(share(93, 7), "found 93 % of 100 lookups");
        assert_eq!(share(0, 0), "not asked yet");
        assert_eq!(
            servable(&json!({ "images": 45, "whole": 42 })).unwrap(),
            "42 of 45 images pulled lately could be served (93 %)"
        );
        assert_eq!(servable(&json!({ "images": 0, "whole": 0 })), None);
    }
}
