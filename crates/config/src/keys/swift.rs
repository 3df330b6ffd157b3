//! `storage.swift`: the keys of Distribution 2.8's Swift driver, and ours.

use Kind::{Bool, Choice, Duration, Int, List, Secret, Size, Text};

use super::{Key, Kind};
use crate::{LargeObjects, SwiftInterface};

pub(super) const KEYS: &[Key] = &[
    Key::new(
        "storage.swift.authurl",
        Text,
        "Where tokens come from: tempauth's /auth/v1.0, or Keystone's /v3.",
    )
    .example("https://keystone.example.org/v3"),
    Key::new("storage.swift.username", Text, "User; with tempauth account:user.").example("docker:registry"),
    Key::new("storage.swift.password", Secret, "The user's password or key."),
    Key::new("storage.swift.container", Text, "The one container that holds everything.").example("registry"),
    Key::new(
        "storage.swift.authversion",
        Int,
        "Protocol of authentication: 1, 2 or 3; 0 takes it from the URL.",
    )
    .default("0")
    .example("3"),
    Key::new("storage.swift.region", Text, "Region of the catalogue; else its first endpoint.")
        .example("eqiad"),
    Key::new(
        "storage.swift.endpointtype",
        Choice(SwiftInterface::NAMES),
        "Which endpoint of the catalogue is used.",
    )
    .default("public"),
    Key::new("storage.swift.tenant", Text, "Name of the project (v2, v3).").example("registry"),
    Key::new("storage.swift.tenantid", Text, "Id of the project (v2, v3); wins over the name."),
    Key::new("storage.swift.domain", Text, "Name of the user's domain (v3); Default where nothing is given.")
        .example("ldap"),
    Key::new("storage.swift.domainid", Text, "Id of the user's domain (v3); the name wins."),
    Key::new(
        "storage.swift.tenantdomain",
        Text,
        "Name of the project's domain (v3); else the user's domain.",
    ),
    Key::new("storage.swift.tenantdomainid", Text, "Id of the project's domain (v3); the name wins."),
    Key::new("storage.swift.trustid", Text, "A trust as scope (v3); wins over any project."),
    Key::new("storage.swift.applicationcredentialid", Text, "An application credential by its id (v3).")
        .ours(),
    Key::new(
        "storage.swift.applicationcredentialname",
        Text,
        "An application credential by its name (v3); needs the username it belongs to.",
    )
    .ours(),
    Key::new("storage.swift.applicationcredentialsecret", Secret, "The application credential's secret.")
        .ours(),
    Key::new("storage.swift.storageurl", Text, "URL of the account, in place of what authentication says.")
        .example("https://swift.example.org/v1/AUTH_docker")
        .ours(),
    Key::new(
        "storage.swift.prefix",
        Text,
        "Put before every object's name, as in Distribution: PREFIX/files/docker/...",
    )
    .example("images"),
    Key::new("storage.swift.rootdirectory", Text, "Shown in an old sample of Distribution.")
        .ignored("Distribution's Swift driver does not know this key; the one that has an effect is prefix"),
    Key::new("storage.swift.insecureskipverify", Bool, "Take any TLS certificate.").default("false"),
    Key::new("storage.swift.segmentsize", Size, "Bytes of one segment of a large object, 1 MiB to 5 GiB.")
        .default("64MiB")
        .ours(),
    Key::new(
        "storage.swift.chunksize",
        Size,
        "Distribution's name of segmentsize, which wins; 1 MiB or more.",
    )
    .example("20971520"),
    Key::new("storage.swift.objects", Choice(LargeObjects::NAMES), "How large objects are put together.")
        .default("auto")
        .ours(),
    Key::new("storage.swift.concurrency", Int, "Most requests to Swift at a time.").default("64").ours(),
    Key::new("storage.swift.connecttimeout", Duration, "Time that a connection to Swift may take.")
        .default("2s")
        .ours(),
    Key::new("storage.swift.responsetimeout", Duration, "Time that Swift may take to begin its answer.")
        .default("4s")
        .ours(),
    Key::new(
        "storage.swift.secretkey",
        Secret,
        "Key that signs temporary URLs; else the one that Swift knows, or a new one.",
    ),
    Key::new("storage.swift.accesskey", Text, "Signs temporary URLs in HP's way.")
        .ignored("only HP's cloud signed so"),
    Key::new(
        "storage.swift.tempurlcontainerkey",
        Bool,
        "Where a key has to be set that Swift does not know: on the container, or else on the account.",
    )
    .default("true"),
    Key::new("storage.swift.tempurlmethods", List, "What temporary URLs allow.")
        .ignored("what Swift allows stands in its /info"),
];
