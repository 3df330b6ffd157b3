//! Everything else: limits of lists, validation, health, admin, and Distribution's sections that have no part here.

use Kind::{Bool, Duration, Int, List, Map, Secret, Section, Sections, Text};

use super::{Key, Kind, Parts, Safety};

const PLATFORMS: &[&str] = &["all", "none", "list"];
const CHECKS: &str =
    "only the store is probed, nothing else takes an instance out of service; watch this one from outside";
const MIDDLEWARE: &str = "there are no middlewares (Distribution applies them even when `disabled`); clients would bypass what it does";

pub(super) const KEYS: &[Key] = &[
    Key::new("catalog", Section, "The list of repositories."),
    Key::new("catalog.maxentries", Int, "Most entries of one page of /v2/_catalog.").default("1000"),
    Key::new("tags", Section, "The lists of tags."),
    Key::new("tags.maxtags", Int, "Most entries of one page of a tag list.").default("1000"),
    Key::new("validation", Section, "What a pushed manifest has to fulfil."),
    Key::new("validation.enabled", Bool, "Old opposite of disabled; true wins.").default("false"),
    Key::new("validation.disabled", Bool, "Check neither URLs nor that blobs and an index's children exist.")
        .default("false"),
    Key::new("validation.manifests", Section, "Checks of manifests."),
    Key::new(
        "validation.manifests.urls",
        Section,
        "URLs in manifests; with both lists empty none is allowed.",
    ),
    Key::new("validation.manifests.urls.allow", List, "A URL has to match one of these regular expressions.")
        .example("[\"^https://layers[.]example[.]org/\"]"),
    Key::new("validation.manifests.urls.deny", List, "A URL must match none of these regular expressions.")
        .example("[\"^http://\"]"),
    Key::new("validation.manifests.indexes", Section, "Children of image indexes and manifest lists."),
    Key::new(
        "validation.manifests.indexes.platforms",
        Kind::Choice(PLATFORMS),
        "Children that have to exist: all, none (sparse indexes are allowed), or those in platformlist.",
    )
    .default("all"),
    Key::new(
        "validation.manifests.indexes.platformlist",
        Sections,
        "Platforms that have to exist, with list.",
    )
    .example("[{architecture: amd64, os: linux}]"),
    Key::new("validation.manifests.indexes.platformlist.*.architecture", Text, "CPU architecture.")
        .example("amd64"),
    Key::new("validation.manifests.indexes.platformlist.*.os", Text, "Operating system.").example("linux"),
    Key::new("health", Section, "Checks in the background."),
    Key::new("health.storagedriver", Section, "The probe of the store."),
    Key::new("health.storagedriver.enabled", Bool, "Probe the store.").default("true"),
    Key::new("health.storagedriver.interval", Duration, "Time between two probes.").default("10s"),
    Key::new("health.storagedriver.threshold", Int, "Failures in a row that count.").default("3"),
    Key::new("health.file", Sections, "Unhealthy while a file exists.")
        .env("FILECHECKERS")
        .missing(HARMLESS, CHECKS),
    Key::new("health.http", Sections, "Unhealthy while a URL fails.")
        .env("HTTPCHECKERS")
        .missing(HARMLESS, CHECKS),
    Key::new("health.tcp", Sections, "Unhealthy while a port is closed.")
        .env("TCPCHECKERS")
        .missing(HARMLESS, CHECKS),
    Key::new("admin", Section, "The operator's own door.").ours(),
    Key::new(
        "admin.socket",
        Kind::Path,
        "Unix socket of the admin API; else admin.sock beside the data, in /run/wharfinger with Swift.",
    )
    .example("/run/wharfinger/admin.sock")
    .ours(),
    Key::new("redis", Section, "Redis as a shared cache.")
        .missing(HARMLESS, "not implemented yet; caches are in memory, each instance has its own"),
    Key::new("notifications", Section, "Events about pushes and pulls."),
    Key::new("notifications.events", Section, "What events contain.")
        .env("EVENTCONFIG")
        .ignored("no events are sent"),
    Key::new("notifications.endpoints", Sections, "Who is told of pushes and pulls.")
        .missing(UNSAFE, "not implemented yet; whoever waits for these events would not get them"),
    Key::new("proxy", Section, "A mirror of another registry.")
        .missing(UNSAFE, "not implemented yet; pulls would not reach the other registry"),
    Key::new("middleware", Section, "Plug-ins around the registry, its repositories and its storage."),
    Key::new("middleware.registry", Sections, "Plug-ins around the registry.").missing(UNSAFE, MIDDLEWARE),
    Key::new("middleware.repository", Sections, "Plug-ins around repositories.").missing(UNSAFE, MIDDLEWARE),
    Key::new("middleware.storage", Sections, "Plug-ins around the store.").missing(UNSAFE, MIDDLEWARE),
    Key::new("reporting", Section, "Error reporting services.")
        .ignored("nothing is reported to outside services"),
    Key::new("compatibility", Section, "Old manifest formats."),
    Key::new("compatibility.schema1", Section, "Docker schema1 manifests."),
    Key::new("compatibility.schema1.enabled", Bool, "Accept schema1 manifests.")
        .missing(UNSAFE, "schema1 manifests are refused; push such images again with a newer client"),
    Key::new("compatibility.schema1.signingkeyfile", Kind::Path, "Key that signs schema1 manifests.")
        .env("TRUSTKEY")
        .ignored("schema1 manifests are refused"),
    Key::new("policy", Section, "Classes of repositories."),
    Key::new("policy.repository", Section, "Classes of repositories."),
    Key::new("policy.repository.classes", List, "Classes of content that may be pushed.")
        .ignored("repositories have no classes; use access.policy"),
];

const HARMLESS: Safety = Safety::Harmless;
const UNSAFE: Safety = Safety::Unsafe;

/// The keys of sections that have no part here.
pub(super) const PARTS: &[Parts] = &[
    Parts("health.file.*", &[("file", Text), ("interval", Duration), ("threshold", Int)]),
    Parts(
        "health.http.*",
        &[
            ("uri", Text),
            ("headers", Map),
            ("statuscode", Int),
            ("timeout", Duration),
            ("interval", Duration),
            ("threshold", Int),
        ],
    ),
    Parts(
        "health.tcp.*",
        &[("addr", Text), ("timeout", Duration), ("interval", Duration), ("threshold", Int)],
    ),
    Parts("redis", REDIS),
    Parts("redis.pool", &[("maxidle", Int), ("maxactive", Int), ("idletimeout", Duration)]),
    Parts(
        "redis.tls",
        &[("enabled", Bool), ("certificate", Text), ("key", Text), ("rootcas", List), ("clientcas", List)],
    ),
    Parts("notifications.events", &[("includereferences", Bool)]),
    Parts(
        "notifications.endpoints.*",
        &[
            ("name", Text),
            ("disabled", Bool),
            ("url", Text),
            ("headers", Map),
            ("timeout", Duration),
            ("threshold", Int),
            ("backoff", Duration),
            ("ignoredmediatypes", List),
            ("ignore", Section),
            ("ignore.mediatypes", List),
            ("ignore.actions", List),
        ],
    ),
    Parts(
        "proxy",
        &[
            ("remoteurl", Text),
            ("username", Text),
            ("password", Secret),
            ("exec", Section),
            ("exec.command", Text),
            ("exec.lifetime", Duration),
            ("ttl", Duration),
            ("cachewritetimeout", Duration),
        ],
    ),
    Parts("middleware.registry.*", MIDDLEWARE_KEYS),
    Parts("middleware.repository.*", MIDDLEWARE_KEYS),
    Parts("middleware.storage.*", MIDDLEWARE_KEYS),
    Parts(
        "reporting",
        &[
            ("bugsnag", Section),
            ("bugsnag.apikey", Secret),
            ("bugsnag.releasestage", Text),
            ("bugsnag.endpoint", Text),
            ("newrelic", Section),
            ("newrelic.licensekey", Secret),
            ("newrelic.name", Text),
            ("newrelic.verbose", Bool),
        ],
    ),
];

const MIDDLEWARE_KEYS: &[(&str, Kind)] = &[("name", Text), ("disabled", Bool), ("options", Map)];

/// Both forms: 2.8's `addr` and `pool`, and 3.x's `addrs` and what its client takes.
const REDIS: &[(&str, Kind)] = &[
    ("addr", Text),
    ("addrs", List),
    ("db", Int),
    ("username", Text),
    ("password", Secret),
    ("dialtimeout", Duration),
    ("readtimeout", Duration),
    ("writetimeout", Duration),
    ("pool", Section),
    ("tls", Section),
    ("clientname", Text),
    ("protocol", Int),
    ("sentinelusername", Text),
    ("sentinelpassword", Secret),
    ("mastername", Text),
    ("maxretries", Int),
    ("minretrybackoff", Duration),
    ("maxretrybackoff", Duration),
    ("contexttimeoutenabled", Bool),
    ("poolfifo", Bool),
    ("poolsize", Int),
    ("pooltimeout", Duration),
    ("minidleconns", Int),
    ("maxidleconns", Int),
    ("maxactiveconns", Int),
    ("connmaxidletime", Duration),
    ("connmaxlifetime", Duration),
    ("maxredirects", Int),
    ("readonly", Bool),
    ("routebylatency", Bool),
    ("routerandomly", Bool),
    ("disableidentity", Bool),
    ("identitysuffix", Text),
    ("unstableresp3", Bool),
];
