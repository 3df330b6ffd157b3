//! `activity`.

use ipnet::IpNet;

use crate::config::activity::Activity;
use crate::read::Reader;

pub(super) fn activity(reader: &mut Reader<'_, '_>) -> Activity {
    let proxies = reader.list("activity.proxies");
    Activity { enabled: reader.value("activity.enabled"), proxies: proxies.unwrap_or_else(loopback) }
}

/// What the table of keys names as the default.
fn loopback() -> Vec<IpNet> {
    ["127.0.0.0/8", "::1/128"].iter().filter_map(|text| text.parse().ok()).collect()
}
