//! Uploads in pieces: order, status, cancel, resume, and whose they are.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use wharfinger_test_support::{Digest, Registry, Request, bytes};

#[test]
fn a_blob_in_chunks_is_the_blob() {
    let registry = Registry::start();
    let content = bytes(1, 2_500_000);
    for chunk in [1_000_000, 65_536, 2_500_000] {
        let digest = registry.api().push_chunked("chunks", &content, chunk);
        assert!(registry.api().pull_blob("chunks", &digest) == content);
    }
}

#[test]
fn the_last_chunk_may_come_with_the_put() {
    let registry = Registry::start();
    let (api, content) = (registry.api(), bytes(2, 300_000));
    let session = api.start_upload("last");
    let session = api.patch(&session, 0, &content[..100_000]).expect(202).location();
    let digest = Digest::sha256(&content).to_string();
    let answer = api.finish(&session, &digest, &content[100_000..]).expect(201);
    assert_eq!(answer.required("docker-content-digest"), digest);
    assert!(answer.location().ends_with(&format!("/v2/last/blobs/{digest}")));
}

#[test]
fn one_post_with_the_content_is_enough() {
    let registry = Registry::start();
    let (api, content) = (registry.api(), bytes(3, 70_000));
    let digest = Digest::sha256(&content);
    let target = format!("/v2/single/blobs/uploads/?digest={digest}");
    let request = Request::new("POST", &target).header("Content-Type", "application/octet-stream");
    api.send(request.body(content.clone())).expect(201);
    assert!(api.pull_blob("single", &digest) == content);
}

#[test]
fn a_streamed_chunk_needs_no_length() {
    let registry = Registry::start();
    let (api, content) = (registry.api(), bytes(4, 1_500_000));
    let session = api.start_upload("stream");
    let request = Request::new("PATCH", &session).header("Content-Type", "application/octet-stream");
    let answer = api.send(request.body(content.clone()).chunked()).expect(202);
    assert_eq!(answer.required("range"), "0-1499999");
    let digest = Digest::sha256(&content);
    api.finish(&answer.location(), &digest.to_string(), b"").expect(201);
    assert!(api.pull_blob("stream", &digest) == content);
}

#[test]
fn a_streamed_chunk_is_refused_where_the_upload_has_gone_on_meanwhile() {
    let registry = Registry::start();
    let (api, content) = (registry.api(), bytes(14, 300_000));
    let session = api.start_upload("meanwhile");
    let stream = |session: &str, part: &[u8]| api.send(Request::new("PATCH", session).body(part).chunked());
    let first = stream(&session, &content[..100_000]).expect(202);
    // As a client does that learnt of the upload's state before the last request had ended.
    let refused = stream(&session, &content[..100_000]).expect_error(416, "RANGE_INVALID");
    assert_eq!(refused.required("range"), "0-99999");
    assert_eq!(refused.location(), first.location());
    let last = stream(&refused.location(), &content[100_000..]).expect(202);
    let digest = Digest::sha256(&content);
    api.finish(&last.location(), &digest.to_string(), b"").expect(201);
    assert!(api.pull_blob("meanwhile", &digest) == content);
}

#[test]
fn a_chunk_out_of_order_is_refused_and_costs_nothing() {
    let registry = Registry::start();
    let (api, content) = (registry.api(), bytes(5, 3000));
    let session = api.start_upload("order");
    api.patch(&session, 1000, &content[1000..2000]).expect_error(416, "RANGE_INVALID");
    let session = api.patch(&session, 0, &content[..1000]).expect(202).location();
    api.patch(&session, 0, &content[..1000]).expect_error(416, "RANGE_INVALID");
    api.patch(&session, 2000, &content[2000..]).expect_error(416, "RANGE_INVALID");
    let status = api.get(&session).expect(204);
    assert_eq!(status.required("range"), "0-999");
    let session = api.patch(&status.location(), 1000, &content[1000..]).expect(202).location();
    api.finish(&session, &Digest::sha256(&content).to_string(), b"").expect(201);
}

#[test]
fn a_chunk_that_lies_about_its_length_is_refused() {
    let registry = Registry::start();
    let api = registry.api();
    let session = api.start_upload("lies");
    let patch = |range: &str, body: &[u8]| {
        let request = Request::new("PATCH", &session).header("Content-Range", range).body(body);
        api.send(request)
    };
    assert_eq!(patch("0-99", b"short").expect(400).error_code(), "SIZE_INVALID");
    for range in ["5-0", "-5", "a-b", "0--4", "0-99999999999999999999"] {
        let status = patch(range, b"12345").status;
        assert!([400, 416].contains(&status), "{range:?} was answered with {status}");
    }
    assert_eq!(api.get(&session).expect(204).required("range"), "0-0", "nothing was kept");
}

#[test]
fn a_cancelled_upload_is_gone() {
    let registry = Registry::start();
    let api = registry.api();
    let session = api.start_upload("cancel");
    let session = api.patch(&session, 0, b"half").expect(202).location();
    api.delete(&session).expect(204);
    for answer in [api.get(&session), api.delete(&session), api.patch(&session, 4, b"rest")] {
        answer.expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    }
    let digest = Digest::sha256(b"half").to_string();
    api.finish(&session, &digest, b"").expect_error(404, "BLOB_UPLOAD_UNKNOWN");
}

#[test]
fn content_of_another_digest_is_refused_and_invisible() {
    let registry = Registry::start();
    let (api, content) = (registry.api(), bytes(6, 50_000));
    let promised = Digest::sha256(b"something else");
    let session = api.start_upload("wrong");
    api.finish(&session, &promised.to_string(), &content).expect_error(400, "DIGEST_INVALID");
    for digest in [promised, Digest::sha256(&content)] {
        api.get(&format!("/v2/wrong/blobs/{digest}")).expect_error(404, "BLOB_UNKNOWN");
    }
    assert!(api.catalog().is_empty(), "a failed push makes no repository");
}

#[test]
fn a_session_belongs_to_its_repository() {
    let registry = Registry::start();
    let api = registry.api();
    let session = api.start_upload("mine");
    let stolen = session.replace("/v2/mine/", "/v2/yours/");
    for answer in [api.get(&stolen), api.patch(&stolen, 0, b"x"), api.delete(&stolen)] {
        answer.expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    }
    api.finish(&stolen, &Digest::sha256(b"x").to_string(), b"x").expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    assert_eq!(api.get(&session).expect(204).required("range"), "0-0", "the owner can go on");
}

#[test]
fn an_upload_goes_on_after_the_client_broke_off() {
    let registry = Registry::start();
    let (api, content) = (registry.api(), bytes(7, 4_000_000));
    let session = api.start_upload("broken");
    {
        let mut connection = registry.client().connect().unwrap();
        let head = Request::new("PATCH", &session)
            .header("Content-Range", format!("0-{}", content.len() - 1))
            .header("Content-Length", content.len().to_string());
        connection.write_head(&head).unwrap();
        connection.write_bytes(&content[..2_500_000]).unwrap();
    }
    let mut length = 0;
    wharfinger_test_support::wait_until(
        "the break to be noticed",
        std::time::Duration::from_secs(10),
        || {
            let status = api.get(&session);
            length = stands_at(status.header("range").unwrap_or("0-0"));
            status.status == 204 && length > 0
        },
    );
    assert!(length <= 2_500_000, "{length} bytes are said to be there, 2500000 were sent");
    let mut answer = api.patch(&session, length as u64, &content[length..]);
    for _ in 0..50 {
        if answer.status != 429 {
            break;
        }
        // The broken request may still hold the session.
        wharfinger_test_support::pause(std::time::Duration::from_millis(100));
        length = stands_at(api.get(&session).expect(204).required("range"));
        answer = api.patch(&session, length as u64, &content[length..]);
    }
    let digest = Digest::sha256(&content);
    api.finish(&answer.expect(202).location(), &digest.to_string(), b"").expect(201);
    assert!(api.pull_blob("broken", &digest) == content);
}

/// Bytes that a `Range` header of an upload stands for; `0-0` is an empty one.
fn stands_at(range: &str) -> usize {
    match range.rsplit('-').next().unwrap().parse::<usize>().unwrap() {
        0 => 0,
        last => last + 1,
    }
}
