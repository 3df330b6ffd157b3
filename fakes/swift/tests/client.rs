//! The fake and our own client prove each other: what the client promises holds under each fault.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, Method};
use wharfinger_fake_swift::{Delay, FakeSwift, Fault, Kind, Moment, Options, Pipeline, Rule};
use wharfinger_swift::{
    Auth, Client, Container, Delete, DeleteOutcome, ErrorKind, Listing, Put, Range, Read, Retry, Secret,
    SloSegment, TempUrlDigest, Timeouts,
};

/// A client with short waits, and its container.
async fn connect(fake: &FakeSwift) -> (Client, Container) {
    let auth = Auth::V1 { url: fake.auth_url(), user: "test:tester".into(), key: Secret::new("testing") };
    let mut options = wharfinger_swift::Options::new(auth);
    let short = Duration::from_secs(1);
    options.timeouts = Timeouts { head: short, progress: short, large: short, ..Timeouts::default() };
    let (first_delay, longest_delay) = (Duration::from_millis(1), Duration::from_millis(5));
    options.retry = Retry {
        first_delay,
        longest_delay,
        tokens: 10_000,
        budget: Duration::from_secs(20),
        ..Retry::default()
    };
    let client = Client::new(options).unwrap();
    let container = client.container("c").unwrap();
    container.create(&HeaderMap::new()).await.unwrap();
    (client, container)
}

async fn start(options: Options) -> (FakeSwift, Client, Container) {
    let fake = FakeSwift::start(options);
    let (client, container) = connect(&fake).await;
    (fake, client, container)
}

fn refuse(status: u16) -> Fault {
    Fault::Refuse { status, retry_after: None, moment: Moment::BeforeBody }
}

fn asked(fake: &FakeSwift, method: &str, path: &str) -> usize {
    fake.requests().iter().filter(|asked| asked.method == method && asked.path.ends_with(path)).count()
}

async fn put(container: &Container, name: &str, bytes: &'static [u8]) {
    container.put(name, Bytes::from_static(bytes), &Put::default()).await.unwrap();
}

async fn get(container: &Container, name: &str) -> wharfinger_swift::Result<Bytes> {
    container.get_bytes(name, 10_000_000, &Read::default()).await.map(|(_, bytes)| bytes)
}

fn content(length: usize) -> Bytes {
    (0..length).map(|number| (number % 251) as u8).collect::<Vec<u8>>().into()
}

#[tokio::test]
async fn a_healthy_cluster_does_all_that_the_client_can() {
    for pipeline in [Pipeline::Full, Pipeline::NoSloNoBulk] {
        let (fake, client, container) = start(Options { pipeline, ..Options::default() }).await;
        let capabilities = client.capabilities().await.unwrap();
        assert_eq!(capabilities.slo.is_some(), pipeline == Pipeline::Full);
        let metadata = Put { metadata: vec![("color".into(), "red".into())], ..Put::default() };
        container.put("a b/\u{e9}", content(1000), &metadata).await.unwrap();
        let info = container.head("a b/\u{e9}", &Read::newest()).await.unwrap();
        assert_eq!((info.size, info.metadata("color")), (1000, Some("red")));
        let read = Read::range(Range::Inclusive(10, 19));
        assert_eq!(container.get_bytes("a b/\u{e9}", 100, &read).await.unwrap().1, content(20)[10..]);
        assert!(container.copy("a b/\u{e9}", &container, "copy", false).await.is_ok());
        for (number, part) in [&b"hello "[..], b"world"].into_iter().enumerate() {
            container
                .put(&format!("s/{number}"), Bytes::copy_from_slice(part), &Put::default())
                .await
                .unwrap();
        }
        container.put_dlo("dlo", "c", "s/", &Put::default()).await.unwrap();
        assert_eq!(get(&container, "dlo").await.unwrap(), "hello world");
        let mut names = vec!["copy".to_owned(), "s/0".into(), "s/1".into(), "absent".into(), "dlo".into()];
        if pipeline == Pipeline::Full {
            let segment = |number: usize, size| SloSegment {
                container: "c".into(),
                name: format!("s/{number}"),
                etag: None,
                size,
            };
            container.put_slo("slo", &[segment(0, 6), segment(1, 5)], &Put::default()).await.unwrap();
            assert_eq!(get(&container, "slo").await.unwrap(), "hello world");
            assert_eq!(container.slo_segments("slo", &Read::default()).await.unwrap().len(), 2);
            let wrong = container.put_slo("wrong", &[segment(0, 7)], &Put::default()).await.unwrap_err();
            assert_eq!(wrong.kind(), ErrorKind::Damaged, "{wrong}");
            names.push("slo".into());
        }
        let outcomes = client.bulk_delete("c", &names).await.unwrap();
        assert!(outcomes.iter().all(|(_, outcome)| matches!(outcome, DeleteOutcome::Gone)), "{outcomes:?}");
        assert_eq!(fake.objects("c"), ["a b/\u{e9}"]);
        assert!(container.delete("a b/\u{e9}", Delete::default()).await.unwrap());
        assert!(!container.delete("a b/\u{e9}", Delete::default()).await.unwrap());
    }
}

#[tokio::test]
async fn small_pages_are_all_read() {
    let (_fake, _client, container) = start(Options { page_limit: 3, ..Options::default() }).await;
    for number in 0..10 {
        container.put(&format!("o{number}"), content(1), &Put::default()).await.unwrap();
    }
    for limit in [None, Some(3), Some(2)] {
        let pages: Vec<_> = container.pages(Listing { limit, ..Listing::default() }).collect().await;
        let names: usize = pages.into_iter().map(|page| page.unwrap().entries.len()).sum();
        assert_eq!(names, 10, "{limit:?}");
    }
}

#[tokio::test]
async fn a_temporary_url_opens_the_object() {
    let (fake, client, container) = start(Options::default()).await;
    put(&container, "a b", b"hello").await;
    let key = Secret::new("mykey");
    container.rotate_temp_url_key(&key).await.unwrap();
    let digest = TempUrlDigest::choose(&client.capabilities().await.unwrap()).unwrap();
    let expires = std::time::SystemTime::now() + Duration::from_secs(60);
    let url = container.temp_url(&Method::GET, "a b", expires, &key, digest).await.unwrap();
    let target = url.path_and_query().unwrap().to_string();
    let answer = tokio::task::spawn_blocking(move || {
        let plain = wharfinger_test_support::Client::plain(fake.port());
        plain.send(&wharfinger_test_support::Request::new("GET", &target)).unwrap()
    });
    assert_eq!(answer.await.unwrap().expect(200).body, b"hello");
}

#[tokio::test]
async fn an_expired_token_is_invisible_and_renewed_once_for_all() {
    let (fake, _client, container) = start(Options::default()).await;
    put(&container, "a", b"hello").await;
    let before = asked(&fake, "GET", "/auth/v1.0");
    fake.expire_tokens();
    let reads = (0..20).map(|_| get(&container, "a"));
    for read in futures::future::join_all(reads).await {
        assert_eq!(read.unwrap(), "hello");
    }
    assert_eq!(asked(&fake, "GET", "/auth/v1.0"), before + 1);
    fake.expire_tokens();
    let mut writer = container.put_stream("b", None, &Put::default()).await.unwrap();
    fake.expire_tokens();
    writer.write(content(200_000)).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(fake.peek("c", "b").unwrap().content, content(200_000));
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let (fake, _client, container) = start(Options::default()).await;
    for status in [408, 429, 498, 499, 500, 502, 503, 504] {
        fake.inject(Rule::new(refuse(status)).on(&[Kind::Put, Kind::Get]).next(2));
        put(&container, "a", b"hello").await;
        fake.inject(Rule::new(refuse(status)).on(&[Kind::Get]).next(2));
        assert_eq!(get(&container, "a").await.unwrap(), "hello");
    }
    for fault in [Fault::AnswerLost, Fault::AnswerHung, Fault::Reset(Moment::AfterBody)] {
        fake.inject(Rule::new(fault).on(&[Kind::Put]).next(1));
        put(&container, "a", b"again").await;
    }
    fake.inject(Rule::new(Fault::AnswerLost).on(&[Kind::Delete]).next(1));
    // It was there, but the attempt whose answer came found it gone.
    container.delete("a", Delete::default()).await.unwrap();
    assert!(fake.peek("c", "a").is_none());
    fake.inject(Rule::new(refuse(503)).on(&[Kind::Get]));
    let error = get(&container, "a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.attempts() > 1 && error.transaction().is_some(), "{error}");
}

#[tokio::test]
async fn what_will_not_pass_is_said_at_once() {
    let (fake, _client, container) = start(Options::default()).await;
    let plain = Put::default();
    let put = |name: &'static str| container.put(name, content(10), &plain);
    for (fault, kind) in [
        (Fault::Superseded, ErrorKind::Superseded),
        (refuse(507), ErrorKind::Full),
        (refuse(403), ErrorKind::Forbidden),
    ] {
        fake.inject_once(fault);
        assert_eq!(put("a").await.unwrap_err().kind(), kind);
        assert!(fake.peek("c", "a").is_none());
    }
    assert_eq!(get(&container, "absent").await.unwrap_err().kind(), ErrorKind::NotFound);
    put("a").await.unwrap();
    let once = Put { if_none_match: true, ..Put::default() };
    let error = container.put("a", content(10), &once).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Precondition);
    let error = container.get_bytes("a", 100, &Read::range(Range::From(10))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Range);
}

#[tokio::test]
async fn a_broken_body_is_resumed_and_a_wrong_one_is_found() {
    let (fake, _client, container) = start(Options::default()).await;
    let bytes = content(400_000);
    container.put("a", bytes.clone(), &Put::default()).await.unwrap();
    for fault in [Fault::ShortBody { at: Some(150_000) }, Fault::HungBody { at: Some(70_000) }] {
        fake.inject_once(fault);
        let before = asked(&fake, "GET", "/c/a");
        let mut reader = container.get("a", &Read::default()).await.unwrap();
        let mut all = Vec::new();
        while let Some(frame) = reader.next().await.unwrap() {
            all.extend_from_slice(&frame);
        }
        assert!(all == bytes, "{fault:?}");
        assert_eq!(asked(&fake, "GET", "/c/a"), before + 2, "{fault:?}");
    }
    fake.inject(Rule::new(Fault::WrongByte { at: Some(123_456) }).on(&[Kind::Get]));
    let error = get(&container, "a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Checksum, "{error}");
}

#[tokio::test]
async fn a_damaged_large_object_is_an_error_and_never_short() {
    let (fake, _client, container) = start(Options::default()).await;
    let mut segments = Vec::new();
    for number in 0..3 {
        let name = format!("s/{number}");
        container.put(&name, content(100_000), &Put::default()).await.unwrap();
        segments.push(SloSegment { container: "c".into(), name, etag: None, size: 100_000 });
    }
    container.put_slo("slo", &segments, &Put::default()).await.unwrap();
    fake.remove("c", "s/1");
    let mut reader = container.get("slo", &Read::default()).await.unwrap();
    let mut count = 0;
    let error = loop {
        match reader.next().await {
            Ok(Some(frame)) => count += frame.len(),
            Ok(None) => panic!("a clean end after {count} bytes"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error.kind(), ErrorKind::Damaged | ErrorKind::ShortBody), "{error}");
    assert!(count <= 100_000);
    fake.remove("c", "s/0");
    assert_eq!(get(&container, "slo").await.unwrap_err().kind(), ErrorKind::Damaged);
}

#[tokio::test]
async fn a_writer_that_is_dropped_leaves_nothing() {
    let (fake, _client, container) = start(Options::default()).await;
    for length in [None, Some(100_000)] {
        let mut writer = container.put_stream("a", length, &Put::default()).await.unwrap();
        writer.write(content(100_000)).await.unwrap();
        drop(writer);
        put(&container, "after", b"x").await;
        assert!(fake.peek("c", "a").is_none());
    }
}

/// Random puts, gets and deletes on a cluster where everything goes wrong, against what the client was told.
async fn storm(seed: u64) {
    let options = Options { seed, hang: Duration::from_secs(5), ..Options::default() };
    let (fake, _client, container) = start(options).await;
    let fault = |fault: Fault| fake.inject(Rule::new(fault).chance(0.04));
    fake.inject(Rule::new(refuse(503)).burst(0.03, 3));
    for moment in [Moment::BeforeBody, Moment::MidBody, Moment::AfterBody] {
        fault(Fault::Refuse { status: 401, retry_after: None, moment });
        fault(Fault::Reset(moment));
    }
    fault(Fault::AnswerLost);
    fault(Fault::ShortBody { at: None });
    fault(Fault::WrongByte { at: None });
    fault(Fault::Superseded);
    fault(Fault::RowLate(Delay::Requests(5)));
    // Each name's possible contents: one after an acknowledged change, more after one of unknown outcome.
    let mut possible: Vec<Vec<Option<Bytes>>> = vec![vec![None]; 8];
    let (mut acknowledged, mut refused) = (0, 0);
    for step in 0..400_u64 {
        let draw = (step + 1).wrapping_mul(seed | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let index = (draw % 8) as usize;
        let name = format!("o{index}");
        match (draw >> 8) % 3 {
            0 => {
                let bytes = content(usize::try_from(draw >> 16 & 0xffff).unwrap());
                match container.put(&name, bytes.clone(), &Put::default()).await {
                    Ok(_) => {
                        possible[index] = vec![Some(bytes)];
                        acknowledged += 1;
                    }
                    Err(_) => {
                        possible[index].push(Some(bytes));
                        refused += 1;
                    }
                }
            }
            1 => match container.delete(&name, Delete::default()).await {
                Ok(_) => possible[index] = vec![None],
                Err(_) => possible[index].push(None),
            },
            _ => match get(&container, &name).await {
                Ok(bytes) => assert!(possible[index].contains(&Some(bytes)), "{name} at step {step}"),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    assert!(possible[index].contains(&None), "{name} is gone at step {step}");
                }
                Err(_) => refused += 1,
            },
        }
        let stands = fake.peek("c", &name).map(|object| object.content);
        assert!(possible[index].contains(&stands), "{name} after step {step}");
    }
    let injected = fake.events().len();
    assert!(acknowledged > 50 && injected > 50, "{acknowledged} puts, {injected} faults, {refused} refusals");
}

#[tokio::test]
async fn what_the_client_was_told_is_true_in_a_storm_of_faults() {
    for seed in [1, 2, 3, 4] {
        println!("seed {seed}");
        storm(seed).await;
    }
}
