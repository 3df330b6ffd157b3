//! The session: renewed once for everybody, before it ends where possible; Keystone.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wharfinger_swift::{
    Auth, Client, Domain, ErrorKind, Interface, Options, Project, Read, Scope, User, V3Method,
};

use crate::server::{Reply, Seen, Server, object, status};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ended_is_renewed_once_for_all_who_need_it() {
    let server = Server::start(|seen, _| match seen.token() {
        "token-1" => status(401),
        _ => object(b"", "e"),
    })
    .await;
    let container = server.container();
    let calls = (0..50).map(|number| {
        let container = container.clone();
        tokio::spawn(async move { container.head(&format!("o{number}"), &Read::default()).await })
    });
    for call in futures::future::join_all(calls).await {
        call.expect("ran").expect("the end of the token is not seen");
    }
    assert_eq!(server.tokens(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_401_is_an_error_and_no_loop() {
    let server = Server::start(|_, _| status(401)).await;
    let error = server.container().head("o", &Read::default()).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert_eq!((server.tokens(), server.seen().len()), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_renewed_in_the_background_before_it_ends() {
    let server = Server::with_life(2, |_, _| object(b"", "e")).await;
    let container = server.container();
    let begun = Instant::now();
    while server.tokens() < 2 {
        container.head("o", &Read::default()).await.expect("always good");
        assert!(begun.elapsed() < Duration::from_secs(10), "never renewed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let at = begun.elapsed();
    assert!(at >= Duration::from_millis(1700) && at < Duration::from_millis(2100), "renewed after {at:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_named_and_not_tried_by_every_request() {
    let server = Server::start(|_, _| status(401)).await;
    let mut options = server.options();
    options.auth = Auth::V1 {
        url: format!("{}/wrong", server.url),
        user: "test:tester".into(),
        key: "very-secret".into(),
    };
    let client = Client::new(options).expect("options");
    for _ in 0..20 {
        let error = client.authenticate().await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
        let text = error.to_string();
        assert!(text.contains("user test:tester") && text.contains(&server.url), "{text}");
        assert!(!text.contains("very-secret") && text.contains("tx-401"), "{text}");
    }
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_any_debug_output() {
    let server = Server::start(|_, _| status(200)).await;
    let client = server.client();
    client.authenticate().await.expect("logged in");
    let text = format!("{client:?} {:#?} {:?}", server.options(), client.container("box"));
    assert!(!text.contains("very-secret") && !text.contains("token-1"), "{text}");
}

fn keystone(server: &Server, scope: Scope) -> Options {
    let mut options = server.options();
    options.auth = Auth::V3 {
        url: format!("{}/v3/", server.url),
        method: V3Method::Password {
            user: User::Name { name: "robot".into(), domain: Domain::Name("Default".into()) },
            password: "very-secret".into(),
        },
        scope,
    };
    options
}

fn token_reply(seen: &Seen) -> Reply {
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/v3/auth/tokens"));
    let endpoint = |region: &str, interface: &str| json!({ "region": region, "interface": interface, "url": format!("http://{region}.{interface}/v1/A") });
    let mut token = json!({ "issued_at": "2020-01-01T00:00:00.000000Z",
        "expires_at": "2020-01-01T01:00:00.000000Z" });
    let sent: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
    if sent["auth"].get("scope").is_some() || seen.body.is_empty() {
        token["catalog"] = json!([{ "type": "object-store", "endpoints": [
            endpoint("one", "public"), endpoint("two", "internal"), endpoint("two", "public")] }]);
    }
    let headers = vec![("x-subject-token", "keystone-token".to_owned())];
    Reply::Answer(201, headers, json!({ "token": token }).to_string().into_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn keystone_gives_the_endpoint_of_the_region_and_the_interface() {
    let server = Server::start(|seen, _| token_reply(seen)).await;
    let project = || Project::Name { name: "p".into(), domain: Domain::Id("default".into()) };
    for (region, interface, url) in [
        (None, Interface::Public, Some("http://one.public/v1/A")),
        (Some("two"), Interface::Public, Some("http://two.public/v1/A")),
        (Some("two"), Interface::Internal, Some("http://two.internal/v1/A")),
        (Some("three"), Interface::Public, None),
    ] {
        let mut options = keystone(&server, Scope::Project(project()));
        options.region = region.map(str::to_owned);
        options.interface = interface;
        let session = Client::new(options).expect("options").authenticate().await;
        match url {
            Some(url) => {
                let session = session.expect("logged in");
                assert_eq!(session.storage_url, url);
                let life = session.expires_in.expect("known");
                assert!(life > Duration::from_secs(3590) && life <= Duration::from_secs(3600));
            }
            None => {
                let error = session.expect_err("no such endpoint");
                assert!(error.to_string().contains("region three"), "{error}");
            }
        }
    }
    let sent: Value = serde_json::from_slice(&server.seen()[0].body).expect("JSON");
    assert_eq!(sent["auth"]["scope"]["project"]["name"], "p");
    assert_eq!(sent["auth"]["identity"]["password"]["user"]["password"], "very-secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_url_of_the_options_is_used_in_place_of_the_catalogue() {
    let server = Server::start(|seen, _| match seen.target.starts_with("/v3") {
        true => token_reply(seen),
        false => object(b"", "e"),
    })
    .await;
    let mut options = keystone(&server, Scope::Unscoped);
    let error =
        Client::new(options.clone()).expect("options").authenticate().await.expect_err("no catalogue");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    options.storage_url = Some(format!("{}/v1/AUTH_other", server.url));
    let client = Client::new(options).expect("options");
    client.container("box").expect("a name").head("o", &Read::default()).await.expect("found");
    let last = server.seen().pop().expect("asked");
    assert_eq!((last.target.as_str(), last.token()), ("/v1/AUTH_other/box/o", "keystone-token"));
}
