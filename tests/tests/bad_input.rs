//! What no honest client sends: each is refused with an OCI error body, none is a 500, none leaves a trace.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use wharfinger_test_support::{Digest, HttpError, Image, Registry, Request, Tree};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Names outside the grammar of the specification ("Pulling manifests").
fn bad_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "..",
        "../etc",
        "a/../b",
        "a/..",
        "./a",
        "a/./b",
        "%2e%2e",
        "%2e",
        "a/%2e%2e/b",
        "a%2fb",
        "A",
        "aB",
        "a//b",
        "/a",
        "a/",
        "-a",
        "a-",
        "_a",
        "a_",
        ".a",
        "a.",
        "a..b",
        "a___b",
        "a._b",
        "a%00",
        "a%20b",
        "%ff",
        "%c3%a9",
        "a+b",
        "a:b",
        "a@b",
        "a~b",
        "_uploads",
        "a/_manifests/b",
        "_layers",
    ]
    .map(str::to_owned)
    .into();
    names.push("a".repeat(256));
    names.push(format!("{}/b", "a/".repeat(127) + "a"));
    names
}

#[test]
fn a_name_outside_the_grammar_is_refused_on_every_route() {
    let registry = Registry::start();
    let api = registry.api();
    let tree = || Tree::read(registry.root()).without_own().filter(|name| !name.ends_with('/'));
    let before = tree();
    for name in bad_names() {
        for (method, rest) in [
            ("GET", "manifests/latest".to_owned()),
            ("PUT", "manifests/latest".to_owned()),
            ("GET", format!("blobs/{D}")),
            ("POST", "blobs/uploads/".to_owned()),
            ("PATCH", "blobs/uploads/0b3d3f0a-8a2e-4d0e-9f5e-3a1f7c2b9d10".to_owned()),
            ("GET", "tags/list".to_owned()),
            ("GET", format!("referrers/{D}")),
            ("DELETE", "manifests/latest".to_owned()),
        ] {
            let mut request = Request::new(method, &format!("/v2/{name}/{rest}"));
            if ["PUT", "POST", "PATCH"].contains(&method) {
                request = request.header("Content-Type", OCI).body("{}");
            }
            let answer = api.send(request);
            assert!([400, 404].contains(&answer.status), "{method} {name:?} {rest}: {}", answer.status);
            assert!(
                ["NAME_INVALID", "UNSUPPORTED"].contains(&answer.error_code().as_str()),
                "{}",
                answer.text()
            );
        }
    }
    let after = tree();
    assert_eq!(before.differences(&after), Vec::<String>::new(), "a refused name left something behind");
}

#[test]
fn the_longest_name_works_and_one_more_does_not() {
    let registry = Registry::start();
    let (api, image) = (registry.api(), Image::small(1));
    let longest = format!("{}/{}", "a".repeat(127), "b".repeat(127));
    assert_eq!(longest.len(), 255);
    api.push_image(&longest, "v1", &image);
    api.pull(&longest, "v1");
    assert_eq!(api.catalog(), std::slice::from_ref(&longest));
    api.get(&format!("/v2/{longest}b/tags/list")).expect_error(400, "NAME_INVALID");
}

#[test]
fn a_name_that_begins_like_another_sees_nothing_of_it() {
    let registry = Registry::start();
    let (api, image) = (registry.api(), Image::small(2));
    api.push_image("team/app", "v1", &image);
    for name in ["team", "team/ap", "team/app2", "team/app/v1", "tea", "team/app/v1/current"] {
        api.get(&format!("/v2/{name}/manifests/v1")).expect(404);
        api.get(&format!("/v2/{name}/blobs/{}", image.layers[0].digest)).expect_error(404, "BLOB_UNKNOWN");
        api.get(&format!("/v2/{name}/tags/list")).expect_error(404, "NAME_UNKNOWN");
    }
}

#[test]
fn a_tag_outside_the_grammar_is_refused() {
    let registry = Registry::start();
    let (api, image) = (registry.api(), Image::small(3));
    api.push_image("tags", "v1", &image);
    let long = "a".repeat(129);
    for tag in ["-a", ".a", "..", "%2e%2e", "a%20b", "a+b", "a%2fb", "%00", "\u{e9}", "a@b", long.as_str()] {
        let put = api.put_manifest("tags", tag, OCI, &image.manifest);
        assert!([400, 404].contains(&put.status), "{tag:?}: {}", put.status);
        put.error_code();
        let get = api.get(&format!("/v2/tags/manifests/{tag}"));
        assert!([400, 404].contains(&get.status), "{tag:?}: {}", get.status);
        get.error_code();
    }
    api.push_image("tags", &"a".repeat(128), &image);
    assert_eq!(api.tags("tags").len(), 2);
}

#[test]
fn a_malformed_digest_is_a_400_everywhere() {
    let registry = Registry::start();
    let (api, image) = (registry.api(), Image::small(4));
    api.push_image("digests", "v1", &image);
    let upper = D.to_uppercase().replace("SHA256", "sha256");
    let (short, long) = (&D[..D.len() - 1], format!("{D}0"));
    for digest in [
        "sha256:",
        "sha256:xyz",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        ":abc",
        "sha256:..",
        &upper,
        short,
        &long,
    ] {
        api.get(&format!("/v2/digests/blobs/{digest}")).expect_error(400, "DIGEST_INVALID");
        api.delete(&format!("/v2/digests/blobs/{digest}")).expect_error(400, "DIGEST_INVALID");
        api.get(&format!("/v2/digests/referrers/{digest}")).expect_error(400, "DIGEST_INVALID");
        let by_digest = api.get(&format!("/v2/digests/manifests/{digest}")).expect(400);
        assert!(["DIGEST_INVALID", "TAG_INVALID"].contains(&by_digest.error_code().as_str()));
        let put = api.put_manifest("digests", digest, OCI, &image.manifest).expect(400);
        assert!(["DIGEST_INVALID", "TAG_INVALID"].contains(&put.error_code().as_str()));
        let session = api.start_upload("digests");
        api.finish(&session, digest, b"abc").expect_error(400, "DIGEST_INVALID");
        let mount = Request::new("POST", &format!("/v2/digests/blobs/uploads/?mount={digest}&from=digests"));
        api.send(mount.body("")).expect_error(400, "DIGEST_INVALID");
    }
    let session = api.start_upload("digests");
    api.send(Request::new("PUT", &session).body("abc")).expect_error(400, "DIGEST_INVALID");
    // Written with an escaped colon it is a digest.
    api.get(&format!("/v2/digests/blobs/{}", image.config.digest.to_string().replace(':', "%3A")))
        .expect(200);
}

#[test]
fn forged_sessions_are_a_404_without_effect() {
    let registry = Registry::start();
    let api = registry.api();
    for id in [
        "0b3d3f0a-8a2e-4d0e-9f5e-3a1f7c2b9d10",
        "0B3D3F0A-8A2E-4D0E-9F5E-3A1F7C2B9D10",
        "..",
        "%2e%2e",
        "%2e%2e%2f%2e%2e",
        "x",
        "%00",
        "a%2fb",
        "startedat",
        D,
        &"f".repeat(4000),
    ] {
        let path = format!("/v2/forged/blobs/uploads/{id}");
        for answer in
            [api.get(&path), api.patch(&path, 0, b"x"), api.delete(&path), api.finish(&path, D, b"")]
        {
            assert_eq!(answer.status, 404, "{id:?}: {}", answer.text());
            assert!(["BLOB_UPLOAD_UNKNOWN", "UNSUPPORTED"].contains(&answer.error_code().as_str()));
        }
    }
    assert!(api.catalog().is_empty());
}

#[test]
fn ranges_that_are_none_give_the_whole_or_a_416() {
    let registry = Registry::start();
    let api = registry.api();
    let content = b"0123456789";
    let digest = api.push_blob("ranges", content);
    let get = |range: &str| {
        api.send(Request::new("GET", &format!("/v2/ranges/blobs/{digest}")).header("Range", range))
    };
    for range in ["bytes=10-", "bytes=10-11", "bytes=500-0", "bytes=99999999999999999999-", "bytes=-0"] {
        let answer = get(range);
        assert!([200, 416].contains(&answer.status), "{range}: {}", answer.status);
        match answer.status {
            416 => drop(answer.error_code()),
            _ => assert_eq!(answer.body, content, "{range}"),
        }
    }
    for range in
        ["bytes", "bytes=", "bytes=a-b", "items=0-1", "bytes=0-1,3-4", "bytes=--1", "", "bytes=-", "0-1"]
    {
        let answer = get(range);
        match answer.status {
            200 => assert_eq!(answer.body, content, "{range:?}"),
            206 => assert!(
                answer.header("content-type").is_some_and(|kind| kind.contains("multipart")),
                "{range:?}"
            ),
            status => assert!([400, 416].contains(&status), "{range:?}: {status}"),
        }
    }
}

#[test]
fn what_is_no_endpoint_is_a_404_and_what_is_no_method_a_405() {
    let registry = Registry::start();
    let api = registry.api();
    for path in [
        "/v2/a",
        "/v2/a/b",
        "/v2/a/manifests",
        "/v2/a/tags",
        "/v2/a/tags/all",
        "/v1/",
        "/v3/",
        "/v2x/",
        "/nothing",
    ] {
        let answer = api.get(path).expect(404);
        answer.error_code();
    }
    for (method, path) in [
        ("POST", "/v2/".to_owned()),
        ("DELETE", "/v2/_catalog".to_owned()),
        ("PUT", format!("/v2/a/blobs/{D}")),
        ("POST", "/v2/a/manifests/v1".to_owned()),
        ("PATCH", "/v2/a/tags/list".to_owned()),
        ("GET", "/v2/a/blobs/uploads/".to_owned()),
        ("PROPFIND", format!("/v2/a/referrers/{D}")),
    ] {
        let answer = api.send(Request::new(method, &path).body("")).expect_error(405, "UNSUPPORTED");
        assert!(!answer.required("allow").contains(method), "{method} {path}");
    }
    let moved = api.get("/v2").status;
    assert!([200, 301, 308].contains(&moved), "/v2 is checked by old monitors: {moved}");
}

#[test]
fn bytes_that_are_no_request_do_no_harm() {
    let registry = Registry::start();
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"GET\r\n\r\n",
        b"GET /v2/ HTTP/9.9\r\n\r\n",
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\nabc",
        b"GET /v2/ HTTP/1.1\r\nContent-Length: -1\r\nHost: a\r\n\r\n",
        b"PATCH /v2/a/blobs/uploads/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
    ] {
        let mut connection = registry.client().connect().unwrap();
        connection.write_bytes(bytes).unwrap();
        let _ = connection.socket().shutdown(std::net::Shutdown::Write);
        match connection.read("GET") {
            Ok(answer) => {
                // Two lengths at once (RFC 9112, section 6.3) may be answered if nothing after them is read.
                let closes = answer.header("connection") == Some("close");
                let refused = (400..500).contains(&answer.status) || answer.status == 505;
                assert!(refused || closes, "{answer:?}");
            }
            Err(HttpError::Io(_) | HttpError::Malformed(_) | HttpError::Truncated { .. }) => {}
        }
    }
    registry.api().get("/v2/").expect(200);
}

#[test]
fn a_head_that_never_ends_is_cut() {
    let registry = Registry::start();
    let mut connection = registry.client().connect().unwrap();
    let request = Request::new("GET", "/v2/").header("X-Long", "x".repeat(200_000));
    let _ = connection.write(&request);
    if let Ok(answer) = connection.read("GET") {
        assert!((400..500).contains(&answer.status), "{}", answer.status);
    }
    registry.api().get("/v2/").expect(200);
}

#[test]
fn a_query_may_hold_anything() {
    let registry = Registry::start();
    let (api, image) = (registry.api(), Image::small(5));
    api.push_image("query", "v1", &image);
    for query in
        ["last=..", "last=%2e%2e%2f", "last=%ff", "last=%00", "n=2&n=abc", "&&&", "==", "last", "a[]=b"]
    {
        let answer = api.get(&format!("/v2/query/tags/list?{query}"));
        assert!([200, 400].contains(&answer.status), "{query:?}: {}", answer.status);
        let answer = api.get(&format!("/v2/_catalog?{query}"));
        assert!([200, 400].contains(&answer.status), "{query:?}: {}", answer.status);
    }
    let subject = Digest::sha256(b"x");
    api.get(&format!("/v2/query/referrers/{subject}?artifactType=%00%ff")).expect(200);
    let mount =
        |query: &str| api.send(Request::new("POST", &format!("/v2/query/blobs/uploads/?{query}")).body(""));
    mount(&format!("mount={D}&from=../etc")).expect_error(400, "NAME_INVALID");
    mount(&format!("mount={D}&from=")).expect(202);
    mount("digest-algorithm=md5").expect_error(400, "DIGEST_INVALID");
}

#[test]
fn a_refusal_leaves_the_connection_usable_or_says_that_it_ends() {
    let registry = Registry::start();
    for (size, chunked) in
        [(10, false), (100_000, false), (100_000, true), (5_000_000, false), (50_000_000, true)]
    {
        let mut connection = registry.client().connect().unwrap();
        let mut refused = Request::new("POST", "/v2/NOT-A-NAME/blobs/uploads/").body(vec![b'x'; size]);
        if chunked {
            refused = refused.chunked();
        }
        // Whoever sends the whole body first finds the answer behind it.
        let answer = connection.send(&refused).unwrap_or_else(|error| panic!("{size} bytes: {error}"));
        let answer = answer.expect_error(400, "NAME_INVALID");
        if answer.header("connection") == Some("close") {
            assert!(size > 1_000_000, "the connection was given up for {size} unread bytes");
            continue;
        }
        let next = connection.send(&Request::new("GET", "/v2/")).unwrap();
        assert_eq!(next.status, 200, "after {size} unread bytes");
    }
}
