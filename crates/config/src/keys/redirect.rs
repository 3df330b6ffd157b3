//! `storage.redirect`.

use super::{Key, Kind};

pub(super) const KEYS: &[Key] = &[
    Key::new(
        "storage.redirect",
        Kind::Section,
        "Redirects of clients to Swift itself; none are sent without rules.",
    ),
    Key::new("storage.redirect.disable", Kind::Bool, "Send no redirects, whatever the rules say.")
        .default("false"),
    Key::new(
        "storage.redirect.rules",
        Kind::Sections,
        "Which pulls of blobs are answered with a temporary URL of Swift; any rule that matches will do.",
    )
    .example("[{repositories: [\"*\"], networks: [10.0.0.0/8]}]")
    .ours(),
    Key::new(
        "storage.redirect.rules.*.repositories",
        Kind::List,
        "Globs over repository names, such as team/*; * matches slashes too.",
    )
    .example("[\"team/*\"]")
    .ours(),
    Key::new(
        "storage.redirect.rules.*.networks",
        Kind::List,
        "Addresses or networks of the clients that can reach Swift.",
    )
    .example("[10.0.0.0/8]")
    .ours(),
    Key::new(
        "storage.redirect.min_size",
        Kind::Size,
        "Smaller blobs are sent from here; those of at most 4 MiB always are.",
    )
    .default("16MiB")
    .ours(),
    Key::new("storage.redirect.lifetime", Kind::Duration, "How long a temporary URL is good for, 1s to 24h.")
        .default("20m")
        .ours(),
    Key::new(
        "storage.redirect.base_url",
        Kind::Text,
        "Address of Swift as clients know it, in place of the one that this server uses.",
    )
    .example("https://swift.example.org")
    .ours(),
    Key::new(
        "storage.redirect.proxies",
        Kind::List,
        "Addresses or networks of proxies in front, whose X-Forwarded-For says where a client is.",
    )
    .example("[127.0.0.1]")
    .ours(),
];
