//! TLS with client certificates: who gets to speak at all, and that it is nobody's name.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use serde_json::json;
use wharfinger_test_support::{
    Api, Authority, Builder, ClientCertificate, Image, Purpose, Registry, Request, TokenIssuer, token_claims,
};

/// The server's authority, that of the clients, and one that nobody configured.
struct Authorities {
    server: Authority,
    clients: Authority,
    strangers: Authority,
}

impl Authorities {
    fn new() -> Authorities {
        Authorities { server: Authority::new(), clients: Authority::new(), strangers: Authority::new() }
    }

    /// A registry that takes certificates of `clients`; its own client shows one.
    fn builder(&self) -> Builder {
        let builder = Registry::builder().tls(&self.server).showing(&self.good());
        let file = builder.directory().join("clients.pem");
        std::fs::write(&file, self.clients.pem()).unwrap();
        builder.set("http.tls.clientcas", json!([file]))
    }

    fn good(&self) -> ClientCertificate {
        self.clients.issue_client("ci", Purpose::Client)
    }

    /// Certificates that open nothing, each with its fault.
    fn bad(&self) -> [(&'static str, ClientCertificate); 4] {
        [
            ("of another authority", self.strangers.issue_client("ci", Purpose::Client)),
            ("of the server's authority", self.server.issue_client("ci", Purpose::Client)),
            ("ended", self.clients.issue_client("ci", Purpose::Ended)),
            ("for servers", self.clients.issue_client("ci", Purpose::Server)),
        ]
    }
}

/// The registry as a client with this certificate sees it.
fn showing(registry: &Registry, certificate: Option<&ClientCertificate>) -> Api {
    Api::new(registry.client().showing(certificate))
}

/// No answer comes, to no request.
#[track_caller]
fn assert_shut_out(api: &Api, what: &str) {
    for target in ["/v2/", "/health/live", "/"] {
        let answer = api.try_send(Request::new("GET", target));
        assert!(answer.is_err(), "a client with a certificate {what} got an answer: {answer:?}");
    }
}

#[test]
fn required_certificates_keep_everybody_else_out() {
    let authorities = Authorities::new();
    let registry = authorities.builder().start();
    assert_shut_out(&showing(&registry, None), "that is missing");
    for (fault, certificate) in authorities.bad() {
        assert_shut_out(&showing(&registry, Some(&certificate)), fault);
    }
    let image = Image::small(1);
    registry.api().push_image("app", "v1", &image);
    // Another certificate of the same authority is as good.
    let other = authorities.clients.issue_client("another", Purpose::Client);
    assert_eq!(showing(&registry, Some(&other)).pull("app", "v1").manifest, image.manifest);
}

#[test]
fn optional_certificates_are_verified_where_they_are_shown() {
    let authorities = Authorities::new();
    let registry = authorities.builder().set("http.tls.clientauth", "verify-client-cert-if-given").start();
    let image = Image::small(2);
    showing(&registry, None).push_image("app", "v1", &image);
    showing(&registry, Some(&authorities.good())).pull("app", "v1");
    // Whoever shows a bad one is not served as somebody without one.
    for (fault, certificate) in authorities.bad() {
        assert_shut_out(&showing(&registry, Some(&certificate)), fault);
    }
}

#[test]
fn several_authorities_each_open_the_door() {
    let (authorities, second) = (Authorities::new(), Authority::new());
    let builder = authorities.builder();
    let (first, both) = (builder.directory().join("clients.pem"), builder.directory().join("more.pem"));
    let third = Authority::new();
    std::fs::write(&both, format!("{}{}", second.pem(), third.pem())).unwrap();
    let registry = builder.set("http.tls.clientcas", json!([first, both])).start();
    registry.api().get("/v2/").expect(200);
    for authority in [second, third] {
        let certificate = authority.issue_client("ci", Purpose::Client);
        showing(&registry, Some(&certificate)).get("/v2/").expect(200);
    }
}

#[test]
fn a_certificate_names_nobody_users_do() {
    let authorities = Authorities::new();
    let builder = authorities.builder();
    let file = builder.directory().join("htpasswd");
    std::fs::write(&file, format!("alice:{}\n", bcrypt::hash("alice", 4).unwrap())).unwrap();
    let registry = builder
        .set("auth.htpasswd", json!({ "realm": "test", "path": file }))
        .set(
            "access.policy",
            json!([
                { "repositories": ["team/*"], "who": ["user:alice"], "actions": ["pull", "push"] },
                { "repositories": ["*"], "who": ["anonymous"], "actions": ["pull"] },
            ]),
        )
        .start();
    let called_alice = authorities.clients.issue_client("alice", Purpose::Client);
    let api = showing(&registry, Some(&called_alice));
    api.get("/v2/team/app/tags/list").expect(401);
    api.get("/v2/open/tags/list").expect(404);
    let image = Image::small(3);
    api.with_basic("alice", "alice").push_image("team/app", "v1", &image);
    api.with_basic("alice", "wrong").get("/v2/team/app/tags/list").expect(401);
    // The password alone does not do either.
    assert_shut_out(&showing(&registry, None).with_basic("alice", "alice"), "that is missing");
}

#[test]
fn a_certificate_and_a_token_are_both_needed_where_both_are_configured() {
    let (authorities, issuer) = (Authorities::new(), TokenIssuer::start(|_, _, _| true));
    let registry = issuer.trusted_by(authorities.builder()).start();
    let token = issuer.key().token(&token_claims("ci", &["repository:app:pull,push"]));
    registry.api().get("/v2/app/tags/list").expect(401);
    registry.api().with_token(&token).push_image("app", "v1", &Image::small(4));
    assert_shut_out(&showing(&registry, None).with_token(&token), "that is missing");
    let stranger = authorities.strangers.issue_client("ci", Purpose::Client);
    assert_shut_out(&showing(&registry, Some(&stranger)).with_token(&token), "of another authority");
}

#[test]
fn settings_that_verify_nothing_are_refused_with_their_key() {
    let authorities = Authorities::new();
    for (name, value) in [
        ("http.tls.clientauth", json!("request-client-cert")),
        ("http.tls.clientauth", json!("require-any-client-cert")),
        ("http.tls.clientcas", json!(["/nowhere/clients.pem"])),
    ] {
        let (status, output) = authorities.builder().set(name, value.clone()).start_in_vain();
        let named = output.contains("http.tls.clientauth") || output.contains("/nowhere/clients.pem");
        assert!(!status.success() && named, "{name}: {value}: {output}");
    }
    let builder = authorities.builder().unset("http.tls.clientcas");
    let (status, output) =
        builder.set("http.tls.clientauth", "require-and-verify-client-cert").start_in_vain();
    assert!(!status.success() && output.contains("http.tls.clientauth"), "{output}");
}

#[cfg(feature = "full")]
#[test]
fn skopeo_shows_its_certificate() {
    use wharfinger_test_support::{Layout, system_tool, try_tool};

    let authorities = Authorities::new();
    let registry = authorities.builder().start();
    let work = tempfile::tempdir().unwrap();
    let mut layout = Layout::create(&work.path().join("layout"));
    let image = Image::small(5);
    layout.add_image(&image, "v1");
    let directory = |name: &str, certificate: &ClientCertificate| {
        let directory = work.path().join(name);
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("ca.crt"), authorities.server.pem()).unwrap();
        std::fs::write(directory.join("client.cert"), &certificate.certificate).unwrap();
        std::fs::write(directory.join("client.key"), &certificate.key).unwrap();
        directory
    };
    let push = |directory: &std::path::Path| {
        let mut command = system_tool("skopeo").command();
        command.env("HOME", work.path()).args(["--insecure-policy", "copy", "-q", "--dest-cert-dir"]);
        command.arg(directory).arg(format!("oci:{}:v1", layout.root().display()));
        try_tool(command.arg(format!("docker://{}/app:v1", registry.address())))
    };
    let stranger = authorities.strangers.issue_client("ci", Purpose::Client);
    let (pushed, output) = push(&directory("stranger", &stranger));
    assert!(!pushed, "{output}");
    let (pushed, output) = push(&directory("good", &authorities.good()));
    assert!(pushed, "{output}");
    assert_eq!(registry.api().pull("app", "v1").manifest, image.manifest);
}
