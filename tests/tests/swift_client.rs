//! The Swift client on real clusters: objects, streams, large objects, temporary URLs, Keystone, and servers that go
//! away under it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures::TryStreamExt;
use http::{HeaderMap, Method};
use wharfinger_swift::{
    ApplicationCredential, Auth, Client, Container, Delete, DeleteOutcome, Domain, Entry, Error, ErrorKind,
    Interface, Listing, Manifest, Options, Project, Put, Range, Read, Scope, SloSegment, TempUrlDigest, User,
    V3Method,
};
use wharfinger_test_support::{Pipeline, Request, Server, SwiftCluster, bytes};

const BOTH: [Pipeline; 2] = [Pipeline::Full, Pipeline::Wikimedia];

fn options(swift: &SwiftCluster) -> Options {
    let (url, user, key) = (swift.auth_url(), swift.user().into(), swift.key().into());
    patient(Options::new(Auth::V1 { url, user, key }))
}

/// Time enough for a machine that does much else.
fn patient(mut options: Options) -> Options {
    options.timeouts.head = Duration::from_secs(30);
    options.timeouts.go_ahead = Duration::from_secs(30);
    options.retry.budget = Duration::from_secs(30);
    options
}

fn container(swift: &SwiftCluster) -> Container {
    Client::new(options(swift)).unwrap().container(&swift.fresh_container()).unwrap()
}

async fn read(container: &Container, name: &str, read: &Read) -> Result<Vec<u8>, Error> {
    let mut reader = container.get(name, read).await?;
    let mut all = Vec::new();
    while let Some(bytes) = reader.next().await? {
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    let error = result.expect_err("an error");
    // What came from Swift can be found in its logs.
    assert_eq!(error.status().is_some(), error.transaction().is_some(), "{error}");
    error.kind()
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_go_in_and_out() {
    for pipeline in BOTH {
        let swift = SwiftCluster::shared(pipeline);
        let container = container(swift);
        let name = "a b/é%?&#";
        let put = Put { metadata: vec![("colour".into(), "red".into())], ..Put::default() };
        let stored = container.put(name, "hello".into(), &put).await.unwrap();
        assert_eq!(stored.etag.as_deref(), Some("5d41402abc4b2a76b9719d911017c592"));
        assert_eq!(swift.list(container.name()), [name]);
        let info = container.head(name, &Read::newest()).await.unwrap();
        assert_eq!((info.size, info.metadata("colour"), info.manifest.as_ref()), (5, Some("red"), None));
        assert!(info.timestamp.unwrap().elapsed().unwrap() < Duration::from_secs(60));
        for (range, expected) in [
            (Range::From(1), &b"ello"[..]),
            (Range::Inclusive(1, 2), b"el"),
            (Range::Inclusive(3, 99), b"lo"),
            (Range::Last(2), b"lo"),
            (Range::Last(99), b"hello"),
        ] {
            assert_eq!(read(&container, name, &Read::range(range)).await.unwrap(), expected);
        }
        assert_eq!(kind(container.get(name, &Read::range(Range::From(5))).await), ErrorKind::Range);
        let (_, whole) =
            container.get_bytes(name, 5, &Read { if_match: stored.etag, ..Read::default() }).await.unwrap();
        assert_eq!(whole, "hello");
        let other = Read { if_match: Some("0".repeat(32)), ..Read::default() };
        assert_eq!(kind(container.get(name, &other).await), ErrorKind::Precondition);
        assert_eq!(kind(container.get_bytes(name, 4, &Read::default()).await), ErrorKind::TooLarge);
        let once = Put { if_none_match: true, ..Put::default() };
        assert_eq!(kind(container.put(name, Bytes::new(), &once).await), ErrorKind::Precondition);
        let spoilt = Put { etag: Some("0".repeat(32)), ..Put::default() };
        assert_eq!(kind(container.put("spoilt", "x".into(), &spoilt).await), ErrorKind::Checksum);
        assert!(container.delete(name, Delete::default()).await.unwrap());
        assert!(!container.delete(name, Delete::default()).await.unwrap());
        assert_eq!(kind(container.head(name, &Read::newest()).await), ErrorKind::NotFound);
        let elsewhere = container.client().container("no-such-container").unwrap();
        assert_eq!(kind(elsewhere.put("x", Bytes::new(), &Put::default()).await), ErrorKind::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_object_makes_a_put_superseded() {
    let swift = SwiftCluster::builder().client_timestamps(true).start();
    let container = container(&swift);
    let ahead = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 300;
    let target = format!("/{}/object", container.name());
    let future = Request::new("PUT", &target).header("X-Timestamp", format!("{ahead}.00000"));
    swift.send(future.body("from the future")).expect(201);
    assert_eq!(kind(container.put("object", "x".into(), &Put::default()).await), ErrorKind::Superseded);
    // Swift says so before it asks for the bytes.
    assert_eq!(kind(container.put_stream("object", None, &Put::default()).await), ErrorKind::Superseded);
    assert_eq!(kind(container.delete("object", Delete::default()).await), ErrorKind::Superseded);
    assert_eq!(read(&container, "object", &Read::default()).await.unwrap(), b"from the future");
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_copies_and_conditions_on_expiry() {
    for pipeline in BOTH {
        let container = container(SwiftCluster::shared(pipeline));
        let at = 4_000_000_000;
        let put = Put { delete_at: Some(at), ..Put::default() };
        container.put("one", "bytes".into(), &put).await.unwrap();
        container.copy("one", &container, "two é", false).await.unwrap();
        assert_eq!(read(&container, "two é", &Read::default()).await.unwrap(), b"bytes");
        let mut headers = HeaderMap::new();
        headers.insert("x-object-meta-colour", "blue".parse().unwrap());
        container.post("two é", &headers).await.unwrap();
        let info = container.head("two é", &Read::default()).await.unwrap();
        assert_eq!(info.metadata("colour"), Some("blue"));
        let info = container.head("one", &Read::default()).await.unwrap();
        assert_eq!(info.delete_at(), Some(at));
        let wrong = Delete { if_delete_at: Some(at + 1) };
        assert_eq!(kind(container.delete("one", wrong).await), ErrorKind::Precondition);
        assert!(container.delete("one", Delete { if_delete_at: Some(at) }).await.unwrap());
        let soon = Put { delete_after: Some(Duration::from_secs(1)), ..Put::default() };
        container.put("soon", "x".into(), &soon).await.unwrap();
        let begun = Instant::now();
        while container.head("soon", &Read::default()).await.is_ok() {
            assert!(begun.elapsed() < Duration::from_secs(10), "never gone");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_have_headers_and_counts_and_go_when_they_are_empty() {
    let swift = SwiftCluster::shared(Pipeline::Full);
    let container = container(swift);
    container.put("x", "12345".into(), &Put::default()).await.unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("x-container-meta-colour", "green".parse().unwrap());
    container.set(&headers).await.unwrap();
    let info = container.info().await.unwrap();
    assert_eq!((info.objects, info.bytes), (1, 5));
    assert_eq!((&info.headers["x-container-meta-colour"], info.sync_to), (&"green".parse().unwrap(), None));
    let to = format!("//tests/one/{}/{}", swift.account(), swift.fresh_container());
    container.set_sync(&to, &"key".into()).await.unwrap();
    assert_eq!(container.info().await.unwrap().sync_to, Some(to));
    container.clear_sync().await.unwrap();
    assert_eq!(container.info().await.unwrap().sync_to, None);
    assert_eq!(kind(container.remove().await), ErrorKind::NotEmpty);
    container.delete("x", Delete::default()).await.unwrap();
    assert!(container.remove().await.unwrap());
    assert!(!container.remove().await.unwrap());
    assert_eq!(kind(container.info().await), ErrorKind::NotFound);
    assert!(container.client().account_head().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_come_in_pages_and_many_objects_go_together() {
    for pipeline in BOTH {
        let swift = SwiftCluster::shared(pipeline);
        let container = container(swift);
        let names: Vec<String> = (0..25).map(|number| format!("n/{}/{number:02} é", number % 3)).collect();
        for name in &names {
            container.put(name, Bytes::new(), &Put::default()).await.unwrap();
        }
        let list = |listing: Listing| {
            let pages = container.pages(listing).map_ok(|page| page.entries);
            async move { pages.try_concat().await.unwrap() }
        };
        let forth = list(Listing { limit: Some(7), ..Listing::prefix("n/") }).await;
        let mut sorted = names.clone();
        sorted.sort();
        assert_eq!(forth.iter().map(Entry::name).collect::<Vec<_>>(), sorted);
        let back = list(Listing { limit: Some(7), reverse: true, ..Listing::prefix("n/") }).await;
        assert!(back.iter().rev().eq(forth.iter()));
        assert_eq!(list(Listing::default()).await, forth);
        let delimiter = Some("/".to_owned());
        let below = list(Listing { limit: Some(1), delimiter, ..Listing::prefix("n/") }).await;
        assert_eq!(below, ["n/0/", "n/1/", "n/2/"].map(|name| Entry::Subdir(name.into())));

        let mark = swift.mark();
        let absent = ["never there".to_owned()];
        let all = [names.as_slice(), &absent].concat();
        let outcomes = container.client().bulk_delete(container.name(), &all).await.unwrap();
        assert!(outcomes.iter().all(|(_, outcome)| matches!(outcome, DeleteOutcome::Gone)), "{outcomes:?}");
        assert!(outcomes.iter().map(|(name, _)| name).eq(&all));
        assert!(swift.list(container.name()).is_empty());
        let asked = swift.since(mark).into_iter().filter(|seen| seen.source.is_none() && seen.is_write());
        let expected = if pipeline == Pipeline::Full { 1 } else { 26 };
        assert_eq!(asked.count(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_stored_whole_or_not_at_all() {
    for pipeline in BOTH {
        let container = container(SwiftCluster::shared(pipeline));
        let body = Bytes::from(bytes(1, 3_000_000));
        for length in [None, Some(body.len() as u64)] {
            let mut writer = container.put_stream("whole", length, &Put::default()).await.unwrap();
            for piece in body.chunks(100_000) {
                writer.write(body.slice_ref(piece)).await.unwrap();
            }
            writer.finish().await.unwrap();
            assert_eq!(read(&container, "whole", &Read::default()).await.unwrap(), body);

            let mut writer = container.put_stream("given up", length, &Put::default()).await.unwrap();
            writer.write(body.clone()).await.unwrap();
            drop(writer);
            let spoilt = Put { etag: Some("0".repeat(32)), ..Put::default() };
            let mut writer = container.put_stream("spoilt", length, &spoilt).await.unwrap();
            writer.write(body.clone()).await.unwrap();
            assert_eq!(kind(writer.finish().await), ErrorKind::Checksum);
        }
        for length in [None, Some(0)] {
            let writer = container.put_stream("empty", length, &Put::default()).await.unwrap();
            writer.finish().await.unwrap();
            assert_eq!(container.head("empty", &Read::default()).await.unwrap().size, 0);
        }
        for name in ["given up", "spoilt"] {
            assert_eq!(kind(container.head(name, &Read::newest()).await), ErrorKind::NotFound);
        }
    }
}

/// Three segments of 100000 bytes, and what they are together.
async fn segments(container: &Container) -> (Vec<SloSegment>, Vec<u8>) {
    let mut segments = Vec::new();
    let mut whole = Vec::new();
    for number in 0..3 {
        let body = bytes(number, 100_000);
        let name = format!("segments é/{number}");
        whole.extend_from_slice(&body);
        let stored = container.put(&name, body.into(), &Put::default()).await.unwrap();
        let container = container.name().to_owned();
        segments.push(SloSegment { container, name, etag: stored.etag, size: 100_000 });
    }
    (segments, whole)
}

#[tokio::test(flavor = "multi_thread")]
async fn static_large_objects_are_written_read_and_deleted_with_their_segments() {
    let container = container(SwiftCluster::shared(Pipeline::Full));
    let (segments, whole) = segments(&container).await;
    container.put_slo("large", &segments, &Put::default()).await.unwrap();
    assert_eq!(container.slo_segments("large", &Read::default()).await.unwrap(), segments);
    let info = container.head("large", &Read::default()).await.unwrap();
    assert_eq!((info.size, info.manifest), (300_000, Some(Manifest::Slo)));
    assert_eq!(read(&container, "large", &Read::default()).await.unwrap(), whole);
    let border = Read::range(Range::Inclusive(99_999, 100_000));
    assert_eq!(read(&container, "large", &border).await.unwrap(), whole[99_999..=100_000]);

    let mut wrong = segments.clone();
    wrong[1].etag = Some("0".repeat(32));
    wrong[2].name = "missing".into();
    let error = container.put_slo("wrong", &wrong, &Put::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    let text = error.to_string();
    assert!(text.contains("segments é/1: Etag Mismatch") && text.contains("missing: 404"), "{text}");
    container.put("plain", Bytes::new(), &Put::default()).await.unwrap();
    assert_eq!(kind(container.slo_segments("plain", &Read::default()).await), ErrorKind::Invalid);

    assert!(container.delete_slo("large").await.unwrap());
    assert!(!container.delete_slo("large").await.unwrap());
    assert_eq!(kind(container.head(&segments[0].name, &Read::newest()).await), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn dynamic_large_objects_are_what_their_segments_are() {
    for pipeline in BOTH {
        let container = container(SwiftCluster::shared(pipeline));
        let (_, whole) = segments(&container).await;
        container.put_dlo("large", container.name(), "segments é/", &Put::default()).await.unwrap();
        let info = container.head("large", &Read::default()).await.unwrap();
        let manifest = Manifest::Dlo { container: container.name().into(), prefix: "segments é/".into() };
        assert_eq!((info.size, info.manifest.as_ref()), (300_000, Some(&manifest)));
        let raw = container.head("large", &Read { raw_manifest: true, ..Read::default() }).await.unwrap();
        assert_eq!((raw.size, raw.manifest), (0, Some(manifest)));
        assert_eq!(read(&container, "large", &Read::default()).await.unwrap(), whole);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_never_ends_as_a_whole_body() {
    let swift = SwiftCluster::shared(Pipeline::Full);
    for first_missing in [false, true] {
        let container = container(swift);
        let (segments, _) = segments(&container).await;
        container.put_slo("large", &segments, &Put::default()).await.unwrap();
        swift.remove_file(container.name(), &segments[usize::from(!first_missing)].name);
        let error = read(&container, "large", &Read::default()).await.expect_err("a segment is missing");
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
        assert_eq!(error.to_string().contains("byte 100000 of 300000"), !first_missing, "{error}");
    }
    let container = container(swift);
    container.put("corrupt", bytes(9, 1000).into(), &Put::default()).await.unwrap();
    swift.corrupt(container.name(), "corrupt");
    // Swift notices at the end of the body, and sets the object aside.
    let kind = kind(container.get_bytes("corrupt", 1000, &Read::default()).await);
    assert!(matches!(kind, ErrorKind::Checksum | ErrorKind::NotFound), "{kind:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn temporary_urls_open_what_they_are_signed_for_with_either_key() {
    for pipeline in BOTH {
        let swift = SwiftCluster::shared(pipeline);
        let container = container(swift);
        container.put("a b/é", "hello".into(), &Put::default()).await.unwrap();
        let capabilities = container.client().capabilities().await.unwrap();
        let digest = TempUrlDigest::choose(&capabilities).expect("temporary URLs");
        assert_eq!(digest, TempUrlDigest::Sha256);
        container.rotate_temp_url_key(&"one".into()).await.unwrap();
        container.rotate_temp_url_key(&"two".into()).await.unwrap();
        let keys = container.temp_url_keys().await.unwrap();
        assert_eq!((keys.current, keys.previous), (Some("two".into()), Some("one".into())));
        let expires = SystemTime::now() + Duration::from_secs(60);
        let anyone = wharfinger_test_support::Client::plain(swift.port());
        for (key, name, digest, status) in [
            ("one", "a b/é", digest, 200),
            ("two", "a b/é", digest, 200),
            ("two", "a b/é", TempUrlDigest::Sha512, 200),
            ("three", "a b/é", digest, 401),
            ("two", "other", digest, 404),
        ] {
            let url = container.temp_url(&Method::GET, name, expires, &key.into(), digest).await.unwrap();
            let target = url.path_and_query().unwrap().as_str();
            anyone.send(&Request::new("GET", target)).unwrap().expect(status);
        }
        let past = SystemTime::now() - Duration::from_secs(1);
        let url = container.temp_url(&Method::GET, "a b/é", past, &"two".into(), digest).await.unwrap();
        let target = url.path_and_query().unwrap().as_str();
        anyone.send(&Request::new("GET", target)).unwrap().expect(401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_told_so() {
    let swift = SwiftCluster::shared(Pipeline::Full);
    let mut wrong = options(swift);
    wrong.auth = Auth::V1 { url: swift.auth_url(), user: swift.user().into(), key: "wrong-secret".into() };
    let error = Client::new(wrong).unwrap().authenticate().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    let text = error.to_string();
    assert!(text.contains(swift.user()) && text.contains(&swift.auth_url()), "{text}");
    assert!(!text.contains("wrong-secret"), "{text}");

    let (user, key) = swift.reader();
    let mut reader = options(swift);
    reader.auth = Auth::V1 { url: swift.auth_url(), user: user.into(), key: key.into() };
    let container = Client::new(reader).unwrap().container(&swift.fresh_container()).unwrap();
    assert_eq!(kind(container.put("x", "y".into(), &Put::default()).await), ErrorKind::Forbidden);
    assert_eq!(kind(container.put_stream("x", None, &Put::default()).await), ErrorKind::Forbidden);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_end_are_not_noticed() {
    let swift = SwiftCluster::start();
    let container = container(&swift);
    container.put("x", "y".into(), &Put::default()).await.unwrap();
    let mark = swift.mark();
    swift.expire_tokens();
    let calls = (0..30).map(|number| {
        let container = container.clone();
        async move {
            match number % 3 {
                0 => container.head("x", &Read::default()).await.map(drop),
                1 => {
                    let bytes = Bytes::from(bytes(number, 2 << 20));
                    container.put(&format!("y{number}"), bytes, &Put::default()).await.map(drop)
                }
                _ => {
                    let mut writer =
                        container.put_stream(&format!("z{number}"), None, &Put::default()).await?;
                    writer.write(bytes(number, 1000).into()).await?;
                    writer.finish().await.map(drop)
                }
            }
        }
    });
    for result in futures::future::join_all(calls).await {
        result.unwrap();
    }
    let logins = swift.since(mark).into_iter().filter(|seen| seen.path.starts_with("/auth/"));
    assert_eq!(logins.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_object_server_is_an_error_in_time_and_its_return_is_noticed_at_once() {
    let swift = SwiftCluster::start();
    let mut options = options(&swift);
    // The client's own defaults.
    (options.timeouts, options.retry) = Default::default();
    let container = Client::new(options).unwrap().container(&swift.fresh_container()).unwrap();
    container.put("x", "y".into(), &Put::default()).await.unwrap();
    swift.hang(Server::Object(0));
    let begun = Instant::now();
    let (put, read_options) = (Put::default(), Read::default());
    let (written, read, head) = tokio::join!(
        container.put("z", "y".into(), &put),
        container.get_bytes("x", 10, &read_options),
        container.head("x", &read_options),
    );
    for error in [written.unwrap_err(), read.unwrap_err(), head.unwrap_err()] {
        assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Timeout, true), "{error}");
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    swift.resume(Server::Object(0));
    let begun = Instant::now();
    while container.get_bytes("x", 10, &Read::default()).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10), "still not well");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_survives_the_restart_of_the_proxy() {
    let swift = SwiftCluster::start();
    let mut options = options(&swift);
    options.retry.attempts = 1000;
    options.retry.budget = Duration::from_secs(60);
    let container = Client::new(options).unwrap().container(&swift.fresh_container()).unwrap();
    let body = bytes(4, 30 << 20);
    container.put("large", body.clone().into(), &Put::default()).await.unwrap();
    let mut reader = container.get("large", &Read::default()).await.unwrap();
    let mut all = reader.next().await.unwrap().expect("bytes").to_vec();
    swift.stop_server(Server::Proxy);
    let rest = async {
        while let Some(bytes) = reader.next().await? {
            all.extend_from_slice(&bytes);
        }
        Ok::<_, Error>(all)
    };
    let start = tokio::task::spawn_blocking(move || {
        swift.start_server(Server::Proxy);
        swift
    });
    let (all, swift) = tokio::join!(rest, start);
    assert!(all.unwrap() == body, "the same bytes");
    let ranges = swift.unwrap().access_log();
    assert!(ranges.iter().filter(|seen| seen.method == "GET").count() >= 2, "{ranges:?}");
}

fn keystone_options(swift: &SwiftCluster, method: V3Method, scope: Scope) -> Options {
    patient(Options::new(Auth::V3 { url: swift.auth_url(), method, scope }))
}

fn user(swift: &SwiftCluster, name: &str) -> User {
    User::Name { name: name.into(), domain: Domain::Name(swift.keystone().domain().into()) }
}

fn password(swift: &SwiftCluster, name: &str, password: &str) -> V3Method {
    V3Method::Password { user: user(swift, name), password: password.into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn keystone_lets_in_by_password_application_credential_and_trust() {
    let swift = SwiftCluster::shared_keystone();
    let keystone = swift.keystone();
    let ours = || password(swift, keystone.user(), keystone.password());
    let domain = Domain::Id("default".into());
    let project = Project::Name { name: keystone.project().into(), domain };
    let credential = keystone.application_credential();
    let applied = |which: ApplicationCredential| V3Method::ApplicationCredential {
        credential: which,
        secret: credential.secret.as_str().into(),
    };
    let by_id = ApplicationCredential::Id(credential.id.clone());
    let by_name =
        ApplicationCredential::Name { name: credential.name.clone(), user: user(swift, keystone.user()) };
    let trust = keystone.trust();
    for (method, scope) in [
        (ours(), Scope::Project(project)),
        (ours(), Scope::Project(Project::Id(keystone.project_id().into()))),
        (applied(by_id), Scope::Unscoped),
        (applied(by_name), Scope::Unscoped),
        (password(swift, &trust.trustee, &trust.password), Scope::Trust(trust.id.clone())),
    ] {
        let client = Client::new(keystone_options(swift, method, scope)).unwrap();
        let session = client.authenticate().await.unwrap();
        assert_eq!(session.storage_url, swift.storage_url());
        let life = session.expires_in.unwrap();
        assert!(life > Duration::from_secs(3500) && life <= Duration::from_secs(3600), "{life:?}");
        let container = client.container(&swift.fresh_container()).unwrap();
        container.put("x", "y".into(), &Put::default()).await.unwrap();
        assert_eq!(read(&container, "x", &Read::default()).await.unwrap(), b"y");
        swift.expire_tokens();
        container.put("x", "z".into(), &Put::default()).await.unwrap();
    }
    let wrong = keystone_options(swift, password(swift, keystone.user(), "wrong-secret"), Scope::Unscoped);
    let error = Client::new(wrong).unwrap().authenticate().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    let text = error.to_string();
    assert!(text.contains(keystone.user()) && !text.contains("wrong-secret"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_is_read_by_region_and_interface() {
    let swift = SwiftCluster::shared_keystone();
    let keystone = swift.keystone();
    keystone.add_endpoint("elsewhere", "public", "http://elsewhere.example/v1/AUTH_%(tenant_id)s");
    keystone.add_endpoint("elsewhere", "internal", "http://inside.example/v1/AUTH_%(tenant_id)s");
    let project = || Scope::Project(Project::Id(keystone.project_id().into()));
    let ours = || password(swift, keystone.user(), keystone.password());
    for (region, interface, url) in [
        (keystone.region(), Interface::Public, Some(swift.url())),
        ("elsewhere", Interface::Public, Some("http://elsewhere.example".into())),
        ("elsewhere", Interface::Internal, Some("http://inside.example".into())),
        ("elsewhere", Interface::Admin, None),
        ("nowhere", Interface::Public, None),
    ] {
        let mut options = keystone_options(swift, ours(), project());
        options.region = Some(region.into());
        options.interface = interface;
        let session = Client::new(options).unwrap().authenticate().await;
        match url {
            Some(url) => {
                let expected = format!("{url}/v1/{}", swift.account());
                assert_eq!(session.unwrap().storage_url, expected);
            }
            None => assert_eq!(session.unwrap_err().kind(), ErrorKind::Invalid),
        }
    }
    let mut options = keystone_options(swift, ours(), project());
    options.region = Some("nowhere".into());
    options.storage_url = Some(swift.storage_url());
    let client = Client::new(options).unwrap();
    client.container(&swift.fresh_container()).unwrap().info().await.unwrap();
}
