//! `scrub`.

use std::time::Duration;

use crate::config::scrub::Scrub;
use crate::read::Reader;
use crate::value::Size;

pub(super) fn scrub(reader: &mut Reader<'_, '_>) -> Scrub {
    const PERIOD: &str = "scrub.period";
    const RATE: &str = "scrub.rate";
    let (period, Size(rate)) = (reader.value(PERIOD), reader.value(RATE));
    if period < Duration::from_secs(1) {
        reader.error(PERIOD, "has to be at least 1s");
    }
    if rate == 0 {
        reader.error(RATE, "has to be more than 0; scrub.enabled: false turns it off");
    }
    Scrub { enabled: reader.value("scrub.enabled"), period, rate }
}
