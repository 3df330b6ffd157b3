//! The record of pushes and pulls.

use super::{Key, Kind};

pub(super) const KEYS: &[Key] = &[
    Key::new(
        "activity",
        Kind::Section,
        "A record of who pushed each image and who pulled it last, which impact and fsck tell.",
    )
    .ours(),
    Key::new("activity.enabled", Kind::Bool, "Whether it is kept.").default("true").ours(),
    Key::new(
        "activity.proxies",
        Kind::List,
        "Addresses or networks of proxies in front, whose X-Forwarded-For says where a client is.",
    )
    .default("[127.0.0.0/8, \"::1\"]")
    .example("[10.0.0.0/8]")
    .ours(),
];
