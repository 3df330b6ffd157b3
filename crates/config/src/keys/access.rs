//! `auth` and `access`.

use super::{Key, Kind, Safety};

/// What signatures a token may carry: every asymmetric algorithm that Distribution 3 knows and we can verify.
const ALGORITHMS: &str = "[EdDSA, RS256, RS384, RS512, ES256, ES384, PS256, PS384, PS512]";

pub(super) const KEYS: &[Key] = &[
    Key::new("auth", Kind::Section, "How clients show who they are: one of the sections below, or none."),
    Key::new("auth.none", Kind::Driver, "No authentication: every client is anonymous.").example("{}"),
    Key::new("auth.htpasswd", Kind::Driver, "Basic authentication against an htpasswd file."),
    Key::new("auth.htpasswd.realm", Kind::Text, "Realm in the challenge.").example("basic-realm"),
    Key::new(
        "auth.htpasswd.path",
        Kind::Path,
        "The htpasswd file, with bcrypt entries; read again when it changes.",
    )
    .example("/etc/wharfinger/htpasswd"),
    Key::new("auth.token", Kind::Driver, "Bearer tokens from an outside issuer."),
    Key::new("auth.token.realm", Kind::Text, "URL of the token server.")
        .example("https://auth.example.org/token"),
    Key::new("auth.token.service", Kind::Text, "Name of this registry, expected as the token's audience.")
        .example("registry.example.org"),
    Key::new("auth.token.issuer", Kind::Text, "The expected issuer.").example("auth.example.org"),
    Key::new("auth.token.rootcertbundle", Kind::Path, "PEM file with the issuer's certificates.")
        .example("/etc/wharfinger/issuer.pem"),
    Key::new("auth.token.jwks", Kind::Path, "JSON file with the issuer's keys.")
        .example("/etc/wharfinger/jwks.json"),
    Key::new("auth.token.signingalgorithms", Kind::List, "Signature algorithms that are accepted.")
        .default(ALGORITHMS)
        .example("[ES256]"),
    Key::new("auth.token.autoredirect", Kind::Bool, "Build the realm from the request's host.")
        .default("false"),
    Key::new("auth.token.autoredirectpath", Kind::Text, "Path of the realm with autoredirect.")
        .default("/auth/token")
        .example("/token"),
    Key::new("auth.silly", Kind::Driver, "Distribution's test stub.").missing(
        Safety::Fatal,
        "it accepts whatever a client sends and protects nothing; use auth.htpasswd, auth.token or auth.none",
    ),
    Key::new("auth.silly.realm", Kind::Text, "").part(),
    Key::new("auth.silly.service", Kind::Text, "").part(),
    Key::new("access", Kind::Section, "Who may do what. Without it whoever passes auth may do everything.")
        .ours(),
    Key::new(
        "access.policy",
        Kind::Sections,
        "Rules; of those that list the action, the first pattern that matches the repository decides.",
    )
    .example("[{repositories: [\"*\"], who: [authenticated], actions: [pull]}]")
    .ours(),
    Key::new(
        "access.policy.*.repositories",
        Kind::List,
        "Globs over repository names, such as team/*; * matches slashes too.",
    )
    .example("[\"team/*\"]")
    .ours(),
    Key::new("access.policy.*.who", Kind::List, "Any of anonymous, authenticated, user:NAME, token:SUBJECT.")
        .example("[\"user:alice\"]")
        .ours(),
    Key::new("access.policy.*.actions", Kind::List, "Any of pull, push, delete.")
        .example("[pull, push]")
        .ours(),
    Key::new(
        "access.catalog",
        Kind::List,
        "Who may list all repositories, in the words of who; with a policy and without this nobody.",
    )
    .example("[authenticated]")
    .ours(),
    Key::new("access.trusted_proxy", Kind::Section, "A proxy in front that authenticates users.").ours(),
    Key::new(
        "access.trusted_proxy.addresses",
        Kind::List,
        "Addresses or networks of the proxies; from anyone else the header is ignored.",
    )
    .example("[127.0.0.1, 10.0.0.0/8]")
    .ours(),
    Key::new("access.trusted_proxy.user_header", Kind::Text, "Header that names the user.")
        .default("X-Remote-User")
        .example("X-Forwarded-User")
        .ours(),
];
