use super::*;

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, text): &(&str, &str)| (name.parse::<HeaderName>(), text.parse::<HeaderValue>());
    pairs.iter().map(pair).map(|(name, text)| (name.expect("a name"), text.expect("a value"))).collect()
}

#[test]
fn what_swift_says_about_an_object_is_read() {
    let said = headers(&[
        ("content-length", "5"),
        ("content-range", "bytes 10-14/100"),
        ("etag", "\"abc\""),
        ("last-modified", "Tue, 24 Nov 2026 20:32:35 GMT"),
        ("x-timestamp", "1700000000.12345"),
        ("x-object-meta-colour", "red"),
        ("x-delete-at", "1800000000"),
        ("x-trans-id", "tx1"),
    ]);
    let info = ObjectInfo::of(StatusCode::PARTIAL_CONTENT, said).expect("is read");
    assert_eq!((info.size, info.etag.as_deref(), info.metadata("colour")), (100, Some("abc"), Some("red")));
    assert_eq!((info.delete_at(), info.manifest.clone()), (Some(1_800_000_000), None));
    let since = |at: Option<SystemTime>| at.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    assert_eq!(since(info.timestamp), Some(Duration::new(1_700_000_000, 123_450_000)));
    assert_eq!(since(info.last_modified), Some(Duration::from_secs(1_795_552_355)));
}

#[test]
fn manifests_are_told_apart() {
    let of = |pairs: &[(&str, &str)]| manifest(&headers(pairs));
    assert_eq!(of(&[("x-static-large-object", "True")]), Some(Manifest::Slo));
    let dlo = Manifest::Dlo { container: "box".into(), prefix: "a b/c".into() };
    assert_eq!(of(&[("x-object-manifest", "box/a%20b/c")]), Some(dlo));
    assert_eq!(of(&[("etag", "x")]), None);
}

#[test]
fn ranges_are_written_and_read() {
    assert_eq!(Range::From(5).to_string(), "bytes=5-");
    assert_eq!(Range::Inclusive(5, 9).to_string(), "bytes=5-9");
    assert_eq!(Range::Last(7).to_string(), "bytes=-7");
    assert_eq!(content_range("bytes 5-9/10"), Some((5, 9, 10)));
    for wrong in ["bytes */10", "bytes 5-10/10", "bytes 9-5/10", "bytes 1-2/*", "5-9/10"] {
        assert_eq!(content_range(wrong), None, "{wrong}");
    }
}

#[test]
fn an_object_is_written_with_the_headers_that_were_asked_for() {
    let put = Put {
        if_none_match: true,
        delete_after: Some(Duration::from_secs(60)),
        delete_at: Some(5),
        metadata: vec![("colour".into(), "red".into())],
        ..Put::default()
    };
    let said = put.headers().expect("headers");
    assert_eq!(said["content-type"], "application/octet-stream");
    assert_eq!((&said["if-none-match"], &said["x-delete-after"]), (&"*".parse().expect("v"), &60.into()));
    assert_eq!(
        (&said["x-object-meta-colour"], &said["x-delete-at"]),
        (&"red".parse().expect("v"), &5.into())
    );
    let wrong = Put { metadata: vec![("a b".into(), String::new())], ..Put::default() };
    assert_eq!(wrong.headers().expect_err("not a name").kind(), ErrorKind::Invalid);
}

#[test]
fn only_201_is_success() {
    let answer = |status| Answer { status, headers: HeaderMap::new(), body: bytes::Bytes::new() };
    assert!(created(&answer(StatusCode::CREATED)).is_ok());
    let kind = |status| created(&answer(status)).expect_err("not stored").kind();
    assert_eq!(kind(StatusCode::ACCEPTED), ErrorKind::Superseded);
    assert_eq!(kind(StatusCode::OK), ErrorKind::Protocol);
}
