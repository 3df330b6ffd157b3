//! Reading: what breaks is resumed with the same object, and nothing short ends cleanly.

use std::time::{Duration, Instant};

use wharfinger_swift::{Error, ErrorKind, ObjectReader, Range, Read};

use crate::server::{Reply, Server, object};

const BODY: &[u8] = b"0123456789";

/// Head and body of an answer that promises ten bytes.
fn raw(body: &[u8]) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\netag: \"abc\"\r\ncontent-length: 10\r\nx-trans-id: tx-first\r\n\r\n";
    [head.as_bytes(), body].concat()
}

fn part(first: usize, last: usize) -> Reply {
    let range = format!("bytes {first}-{last}/{}", BODY.len());
    let headers = vec![("etag", "\"abc\"".into()), ("content-range", range)];
    Reply::Answer(206, headers, BODY[first..=last].to_vec())
}

async fn read(reader: &mut ObjectReader) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    while let Some(data) = reader.next().await? {
        all.extend_from_slice(&data);
    }
    Ok(all)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_body_goes_on_where_it_broke_with_the_same_object() {
    let server = Server::start(|_, number| match number {
        0 => Reply::Raw(raw(&BODY[..4])),
        1 => {
            let head = "HTTP/1.1 206 Partial\r\ncontent-range: bytes 4-9/10\r\ncontent-length: 6\r\n\r\n";
            Reply::Raw([head.as_bytes(), &BODY[4..7]].concat())
        }
        _ => part(7, 9),
    })
    .await;
    let mut reader = server.container().get("o", &Read::default()).await.expect("opened");
    assert_eq!(read(&mut reader).await.expect("whole"), BODY);
    let seen = server.seen();
    assert_eq!(seen[0].header("range"), None);
    let asked = |index: usize| (seen[index].header("range"), seen[index].header("if-match"));
    assert_eq!(asked(1), (Some("bytes=4-9"), Some("\"abc\"")));
    assert_eq!(asked(2), (Some("bytes=7-9"), Some("\"abc\"")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stands_still_is_resumed_too() {
    let server = Server::start(|_, number| match number {
        0 => Reply::Stall(raw(&BODY[..4])),
        _ => part(4, 9),
    })
    .await;
    let mut reader = server.container().get("o", &Read::default()).await.expect("opened");
    let begun = Instant::now();
    assert_eq!(read(&mut reader).await.expect("whole"), BODY);
    assert!(begun.elapsed() >= Duration::from_millis(400));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stays_short_is_an_error() {
    let server = Server::start(|_, number| match number {
        0 => Reply::Raw(raw(&BODY[..4])),
        _ => {
            let head = "HTTP/1.1 206 Partial\r\ncontent-range: bytes 4-9/10\r\ncontent-length: 6\r\n\r\n";
            Reply::Raw(head.as_bytes().to_vec())
        }
    })
    .await;
    let mut reader = server.container().get("o", &Read::default()).await.expect("opened");
    let error = read(&mut reader).await.expect_err("short");
    assert_eq!(error.kind(), ErrorKind::ShortBody);
    let text = error.to_string();
    assert!(text.contains("box/o") && text.contains("byte 4 of 10") && text.contains("tx-first"), "{text}");
    assert_eq!(reader.next().await.expect_err("stays failed").kind(), ErrorKind::ShortBody);
    assert_eq!(server.seen().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_an_etag_is_not_resumed() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123";
    let server = Server::start(move |_, _| Reply::Raw(head.as_bytes().to_vec())).await;
    let mut reader = server.container().get("o", &Read::default()).await.expect("opened");
    assert_eq!(read(&mut reader).await.expect_err("short").kind(), ErrorKind::ShortBody);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_behind_does_not_end_a_body_that_broke() {
    for behind in [404, 412, 416] {
        let server = Server::start(move |seen, number| match number {
            0 => Reply::Raw(raw(&BODY[..4])),
            _ if seen.header("x-newest").is_none() => crate::server::status(behind),
            _ => part(4, 9),
        })
        .await;
        let mut reader = server.container().get("o", &Read::default()).await.expect("opened");
        assert_eq!(read(&mut reader).await.expect("whole"), BODY);
        assert_eq!(server.seen().len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_was_overwritten_meanwhile_is_not_mixed_with_the_old_one() {
    let server = Server::start(|_, number| match number {
        0 => Reply::Raw(raw(&BODY[..4])),
        _ => crate::server::status(412),
    })
    .await;
    let mut reader = server.container().get("o", &Read::default()).await.expect("opened");
    assert_eq!(read(&mut reader).await.expect_err("changed").kind(), ErrorKind::Precondition);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_segment_in_the_rest_is_damage() {
    let server = Server::start(|_, number| match number {
        0 => Reply::Raw(raw(&BODY[..4])),
        _ => crate::server::status(409),
    })
    .await;
    let container = server.container();
    let mut reader = container.get("o", &Read::default()).await.expect("opened");
    assert_eq!(read(&mut reader).await.expect_err("damaged").kind(), ErrorKind::Damaged);
    assert_eq!(container.get("o", &Read::default()).await.expect_err("damaged").kind(), ErrorKind::Damaged);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_part_than_the_one_asked_for_is_refused() {
    let server = Server::start(|_, number| match number {
        // The range is ignored; it is another one; it is the right one.
        0 => object(BODY, "abc"),
        1 => part(2, 5),
        _ => part(3, 5),
    })
    .await;
    let container = server.container();
    let asked = Read::range(Range::Inclusive(3, 5));
    for _ in 0..2 {
        let error = container.get("o", &asked).await.expect_err("another part");
        assert_eq!(error.kind(), ErrorKind::Protocol);
    }
    let mut reader = container.get("o", &asked).await.expect("opened");
    assert_eq!((reader.position(), reader.remaining(), reader.info().size), (3, 3, 10));
    assert_eq!(read(&mut reader).await.expect("whole"), b"345");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_object_is_read_whole_or_again() {
    let md5 = "781e5e245d69b566979b86e28d23f2c7";
    let server = Server::start(move |_, number| match number {
        // Short, then spoilt, then right.
        0 => Reply::Raw(raw(&BODY[..4])),
        1 => object(b"0123456780", md5),
        _ => object(BODY, md5),
    })
    .await;
    let (info, bytes) = server.container().get_bytes("o", 10, &Read::default()).await.expect("read");
    assert_eq!((&bytes[..], info.etag.as_deref()), (BODY, Some(md5)));
    assert_eq!(server.seen().len(), 3);
    let error = server.container().get_bytes("o", 9, &Read::default()).await.expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::TooLarge);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_never_what_their_etag_says_are_an_error() {
    let server = Server::start(|_, _| object(BODY, "d41d8cd98f00b204e9800998ecf8427e")).await;
    let error = server.container().get_bytes("o", 10, &Read::default()).await.expect_err("spoilt");
    assert_eq!(error.kind(), ErrorKind::Checksum);
    assert!(error.to_string().contains("tx-200"), "{error}");
}
