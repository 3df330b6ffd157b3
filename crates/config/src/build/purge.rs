//! `purge`.

use std::time::Duration;

use crate::config::purge::{Purge, PurgeEndpoint};
use crate::read::Reader;

pub(super) fn purge(reader: &mut Reader<'_, '_>) -> Purge {
    const TIMEOUT: &str = "purge.timeout";
    let timeout: Duration = reader.value(TIMEOUT);
    if timeout == Duration::ZERO {
        reader.error(TIMEOUT, "has to be more than 0");
    }
    Purge { timeout, endpoints: reader.sections("purge.endpoints", endpoint).unwrap_or_default() }
}

fn endpoint(reader: &mut Reader<'_, '_>) -> Option<PurgeEndpoint> {
    for name in ["url", "kind"] {
        if reader.node(name).is_none_or(|node| !node.says_something()) {
            reader.error(name, "every endpoint needs a url and a kind");
        }
    }
    let (url, kind, host) =
        (reader.optional("url"), reader.optional("kind"), reader.optional::<String>("host"));
    if host.as_ref().is_some_and(|host| !host.bytes().all(|byte| byte.is_ascii_graphic())) {
        reader.error("host", "is no name that can stand in a Host header");
    }
    Some(PurgeEndpoint { url: url?, kind: kind?, host })
}
