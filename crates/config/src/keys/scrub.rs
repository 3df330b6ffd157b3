//! The scrub.

use super::{Key, Kind};

pub(super) const KEYS: &[Key] = &[
    Key::new(
        "scrub",
        Kind::Section,
        "Every blob is read again and compared with its digest, in the background.",
    )
    .ours(),
    Key::new("scrub.enabled", Kind::Bool, "Whether it is.").default("true").ours(),
    Key::new("scrub.period", Kind::Duration, "In which time each blob is read once; at least 1s.")
        .default("720h")
        .ours(),
    Key::new("scrub.rate", Kind::Size, "Bytes a second that are read at most.").default("20MiB").ours(),
];
