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
    Key::new(
        "health.tcp",
        Sections,
        "Ports to look at: told in status and metrics, nothing depends on them.",
    )
    .env("TCPCHECKERS")
    .example("[{addr: \"redis.example.org:6379\", interval: 5s, threshold: 3}]"),
    Key::new("health.tcp.*.addr", Text, "The port.").example("redis.example.org:6379"),
    Key::new("health.tcp.*.timeout", Duration, "How long connecting may take; else 2s.").example("1s"),
    Key::new("health.tcp.*.interval", Duration, "Time between two looks; else 10s.").example("5s"),
    Key::new("health.tcp.*.threshold", Int, "Failures in a row that count; else 1.").example("3"),
    Key::new("admin", Section, "The operator's own door.").ours(),
    Key::new(
        "admin.socket",
        Kind::Path,
        "Unix socket of the admin API; else admin.sock beside the data, in /run/wharfinger with Swift.",
    )
    .example("/run/wharfinger/admin.sock")
    .ours(),
    Key::new("redis", Section, "A Redis that instances share. Not used with storage.filesystem."),
    Key::new("redis.addr", Text, "Its `host:port`, as in Distribution 2.8.")
        .example("redis.example.org:6379"),
    Key::new("redis.addrs", List, "As in Distribution 3: several, of which the first that answers is used.")
        .example("[\"redis1.example.org:6379\", \"redis2.example.org:6379\"]"),
    Key::new("redis.username", Text, "User of an access list; else the default user.").example("registry"),
    Key::new("redis.password", Secret, "Its password.").example("secret"),
    Key::new("redis.db", Int, "Number of the database.").example("1"),
    Key::new(
        "redis.dialtimeout",
        Kind::Duration,
        "How long connecting may take; nobody waits for it. Else 100ms.",
    )
    .example("1s"),
    Key::new(
        "redis.readtimeout",
        Kind::Duration,
        "How long an answer may take, 100ms at most: a request waits no longer for Redis in all. Else 50ms.",
    )
    .example("30ms"),
    Key::new("redis.writetimeout", Kind::Duration, "How long writing may take.")
        .ignored("redis.readtimeout is for the whole of a command"),
    Key::new("redis.tls", Section, "TLS to Redis."),
    Key::new("redis.tls.enabled", Bool, "Speak TLS also where none of the files below is named.")
        .example("true"),
    Key::new(
        "redis.tls.rootcas",
        List,
        "Files of the authorities that may have signed its certificate; else those of the system.",
    )
    .example("[\"/etc/wharfinger/redis-ca.pem\"]"),
    Key::new("redis.tls.certificate", Kind::Path, "Our certificate, if Redis asks for one.")
        .example("/etc/wharfinger/redis.crt"),
    Key::new("redis.tls.key", Kind::Path, "The key of that.").example("/etc/wharfinger/redis.key"),
    Key::new("redis.tls.clientcas", List, "Authorities of clients.").ignored("a matter of Redis itself"),
    Key::new("redis.pool", Section, "A pool of connections.").ignored(ONE_CONNECTION),
    Key::new("redis.clientname", Text, "Of Distribution 3's client.").ignored(CLIENT),
    Key::new("redis.protocol", Int, "Of Distribution 3's client.").ignored(CLIENT),
    Key::new("redis.maxretries", Int, "Of Distribution 3's client.").ignored(CLIENT),
    Key::new("redis.minretrybackoff", Kind::Duration, "Of Distribution 3's client.").ignored(CLIENT),
    Key::new("redis.maxretrybackoff", Kind::Duration, "Of Distribution 3's client.").ignored(CLIENT),
    Key::new("redis.contexttimeoutenabled", Bool, "Of Distribution 3's client.").ignored(CLIENT),
    Key::new("redis.poolfifo", Bool, "Of Distribution 3's client.").ignored(CLIENT),
    Key::new("redis.poolsize", Int, "Of Distribution 3's client.").ignored(CLIENT),
    Key::new("redis.pooltimeout", Kind::Duration, "Of Distribution 3's client.").ignored(CLIENT),
    Key::new("redis.minidleconns", Int, "Of Distribution 3's client.").ignored(CLIENT),
    Key::new("redis.maxidleconns", Int, "Of Distribution 3's client.").ignored(CLIENT),
    Key::new("redis.maxactiveconns", Int, "Of Distribution 3's client.").ignored(CLIENT),
    Key::new("redis.connmaxidletime", Kind::Duration, "Of Distribution 3's client.").ignored(CLIENT),
    Key::new("redis.connmaxlifetime", Kind::Duration, "Of Distribution 3's client.").ignored(CLIENT),
    Key::new("redis.maxredirects", Int, "Of Distribution 3's client.").ignored(CLIENT),
    Key::new("redis.readonly", Bool, "Of Distribution 3's client.").ignored(CLIENT),
    Key::new("redis.routebylatency", Bool, "Of Distribution 3's client.").ignored(CLIENT),
    Key::new("redis.routerandomly", Bool, "Of Distribution 3's client.").ignored(CLIENT),
    Key::new("redis.disableidentity", Bool, "Of Distribution 3's client.").ignored(CLIENT),
    Key::new("redis.identitysuffix", Text, "Of Distribution 3's client.").ignored(CLIENT),
    Key::new("redis.unstableresp3", Bool, "Of Distribution 3's client.").ignored(CLIENT),
    Key::new("redis.sentinelusername", Text, "User at a sentinel.").ignored(NO_SENTINEL),
    Key::new("redis.sentinelpassword", Secret, "Password at a sentinel.").ignored(NO_SENTINEL),
    Key::new("redis.mastername", Text, "Name of a master that sentinels know.").ignored(NO_SENTINEL),
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

const ONE_CONNECTION: &str = "one connection carries all commands";
const NO_SENTINEL: &str = "sentinels are not asked; name every Redis in redis.addrs";
const CLIENT: &str = "there is nothing here that it would change";
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
    Parts("redis.pool", &[("maxidle", Int), ("maxactive", Int), ("idletimeout", Duration)]),
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
