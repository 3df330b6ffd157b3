//! Writing: only 201 is success, and what is given up leaves nothing.

use std::time::{Duration, Instant};

use bytes::Bytes;
use wharfinger_swift::{Error, ErrorKind, Put, Read, SloSegment, Stored};

use crate::server::{Reply, Seen, Server, object, status};

fn bodies(seen: &[Seen]) -> Vec<(usize, bool)> {
    seen.iter().map(|seen| (seen.body.len(), seen.whole)).collect()
}

async fn stream(server: &Server, length: Option<u64>, pieces: &[&'static str]) -> Result<Stored, Error> {
    let mut writer = server.container().put_stream("o", length, &Put::default()).await?;
    for piece in pieces {
        writer.write(Bytes::from(*piece)).await?;
    }
    writer.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_swift_accepts_without_storing_is_superseded() {
    // With the whole body, and as Swift often says it: before the body.
    let server = Server::start(|_, number| if number < 2 { status(202) } else { Reply::Early(202) }).await;
    let error = server.container().put("o", Bytes::from("x"), &Put::default()).await.expect_err("not stored");
    assert_eq!(error.kind(), ErrorKind::Superseded);
    assert!(error.to_string().contains("tx-202"), "{error}");
    for _ in 0..2 {
        let error = stream(&server, None, &["x"]).await.expect_err("not stored");
        assert_eq!(error.kind(), ErrorKind::Superseded);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_go_with_their_md5_and_are_sent_again_where_they_were_spoilt() {
    let server = Server::start(|_, number| match number {
        0 => status(422),
        1 => Reply::Answer(201, vec![("etag", "9dd4e461268c8034f5c8564e155c67a6".into())], Vec::new()),
        _ => Reply::Answer(201, vec![("etag", "0".repeat(32))], Vec::new()),
    })
    .await;
    let container = server.container();
    let stored = container.put("o", Bytes::from("x"), &Put::default()).await.expect("stored");
    assert_eq!(stored.etag.as_deref(), Some("9dd4e461268c8034f5c8564e155c67a6"));
    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[1].header("etag"), Some("9dd4e461268c8034f5c8564e155c67a6"));
    assert_eq!((seen[1].header("content-length"), &seen[1].body[..]), (Some("1"), &b"x"[..]));
    let error = container.put("o", Bytes::from("x"), &Put::default()).await.expect_err("other bytes");
    assert_eq!(error.kind(), ErrorKind::Checksum);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_arrives_whole_in_chunks_or_with_its_length() {
    let server = Server::start(|_, _| status(201)).await;
    stream(&server, None, &["abc", "", "def"]).await.expect("stored");
    stream(&server, Some(6), &["abc", "def", ""]).await.expect("stored");
    stream(&server, None, &[]).await.expect("stored");
    stream(&server, Some(0), &[]).await.expect("stored");
    let seen = server.seen();
    assert_eq!(bodies(&seen), [(6, true), (6, true), (0, true), (0, true)]);
    assert_eq!(seen[0].header("transfer-encoding"), Some("chunked"));
    assert_eq!(seen[1].header("content-length"), Some("6"));
    assert_eq!((seen[1].header("expect"), &seen[1].body[..]), (Some("100-continue"), &b"abcdef"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_dropped_never_sends_its_end() {
    let server = Server::start(|_, _| status(201)).await;
    for length in [None, Some(6)] {
        let mut writer = server.container().put_stream("o", length, &Put::default()).await.expect("opened");
        writer.write(Bytes::from("abcdef")).await.expect("taken");
        drop(writer);
    }
    // Where the length is known, a byte is held back: the server cannot take the body for whole.
    server.until(|seen| seen.len() == 2).await;
    let seen = server.seen();
    assert!(seen.iter().all(|seen| !seen.whole), "{seen:?}");
    assert!(seen[1].body.len() < 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_object_of_known_length_is_not_made_before_the_end() {
    let server = Server::start(|_, _| status(201)).await;
    let writer = server.container().put_stream("o", Some(0), &Put::default()).await.expect("opened");
    drop(writer);
    server.container().head("marker", &Read::default()).await.expect("asked");
    assert!(server.seen().iter().all(|seen| seen.method == "HEAD"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_before_the_body_is_sent_is_not_seen() {
    let server = Server::start(|_, number| match number {
        0 => Reply::Early(401),
        1 => Reply::Early(503),
        2 => Reply::Raw(Vec::new()),
        _ => status(201),
    })
    .await;
    // The third closes the connection when it has been asked for the body: that is seen.
    let error = stream(&server, None, &["abc"]).await.expect_err("broke in the middle");
    assert!(error.is_transient(), "{error}");
    assert_eq!(server.tokens(), 2);
    assert!(server.seen()[..2].iter().all(|seen| seen.body.is_empty()));
    stream(&server, None, &["abc"]).await.expect("stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_in_memory_waits_for_its_leave_too() {
    let server = Server::start(|_, number| if number == 0 { Reply::Early(401) } else { status(201) }).await;
    let bytes = Bytes::from(vec![7; 3 << 20]);
    server.container().put("o", bytes, &Put::default()).await.expect("stored");
    assert_eq!(bodies(&server.seen()), [(0, true), (3 << 20, true)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_number_of_bytes_makes_no_object() {
    let server = Server::start(|_, _| status(201)).await;
    for pieces in [&["abc"][..], &["abc", "defg"][..]] {
        let error = stream(&server, Some(6), pieces).await.expect_err("not six");
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    server.until(|seen| seen.len() == 2).await;
    assert!(server.seen().iter().all(|seen| !seen.whole));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_the_middle_of_the_body_ends_the_stream() {
    let server = Server::start(|seen, number| match (seen.method.as_str(), number) {
        ("PUT", 0) => Reply::After(10, 507),
        ("PUT", _) => Reply::After(10, 401),
        _ => object(b"", "e"),
    })
    .await;
    let container = server.container();
    for kind in [ErrorKind::Full, ErrorKind::Unavailable] {
        let mut writer = container.put_stream("o", None, &Put::default()).await.expect("opened");
        let begun = Instant::now();
        let error = loop {
            if let Err(error) = writer.write(Bytes::from(vec![1; 1000])).await {
                break error;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "never told of {kind:?}");
        };
        assert_eq!((error.kind(), error.is_transient()), (kind, true), "{error}");
        assert!(writer.finish().await.is_err());
    }
    assert_eq!(server.tokens(), 1);
    container.head("o", &Read::default()).await.expect("with another token");
    assert_eq!(server.tokens(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_nothing_ends_the_stream_in_time() {
    let server = Server::start(|_, _| Reply::Hang).await;
    let mut writer = server.container().put_stream("o", None, &Put::default()).await.expect("goes ahead");
    let begun = Instant::now();
    let error = loop {
        if let Err(error) = writer.write(Bytes::from(vec![1; 1 << 20])).await {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_may_be_slow() {
    let server = Server::start(|_, _| status(201)).await;
    let mut writer = server.container().put_stream("o", None, &Put::default()).await.expect("opened");
    for _ in 0..3 {
        writer.write(Bytes::from("abc")).await.expect("taken");
        // Longer than any time-out: it is not Swift that is slow.
        tokio::time::sleep(Duration::from_millis(800)).await;
    }
    writer.finish().await.expect("stored");
    assert_eq!(bodies(&server.seen()), [(9, true)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_stored_only_if_the_end_of_the_heartbeat_says_so() {
    let server = Server::start(|_, number| {
        let body: &[u8] = match number {
            0 => br#"   {"Response Status": "201 Created", "Etag": "\"abc\"", "Errors": []}"#,
            1 => br#"   {"Response Status": "400 Bad Request", "Errors": [["/box/s", "404 Not Found"]]}"#,
            _ => b"    ",
        };
        Reply::Answer(202, vec![("content-type", "application/json".into())], body.to_vec())
    })
    .await;
    let container = server.container();
    let segments =
        [SloSegment { container: "box".into(), name: "s".into(), etag: Some("e".into()), size: 3 }];
    let stored = container.put_slo("o", &segments, &Put::default()).await.expect("stored");
    assert_eq!(stored.etag.as_deref(), Some("abc"));
    let error = container.put_slo("o", &segments, &Put::default()).await.expect_err("not stored");
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains("/box/s: 404"), "{error}");
    let error = container.put_slo("o", &segments, &Put::default()).await.expect_err("cut off");
    assert_eq!(error.kind(), ErrorKind::ShortBody);
    let first = &server.seen()[0];
    assert_eq!(first.target, "/v1/AUTH_test/box/o?multipart-manifest=put&heartbeat=on");
    assert_eq!(first.body, br#"[{"etag":"e","path":"/box/s","size_bytes":3}]"#);
}
