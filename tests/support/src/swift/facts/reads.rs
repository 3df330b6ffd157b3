//! Facts about GET and HEAD of one object.

use super::{Fact, Needs, Probe};
use crate::http::Request;

pub(super) const FACTS: &[Fact] = &[
    Fact { name: "ranges in their three forms, and 416", needs: Needs::Nothing, prove: ranges },
    Fact {
        name: "several ranges come as multipart/byteranges",
        needs: Needs::Nothing,
        prove: several_ranges_come_in_parts,
    },
    Fact { name: "X-Newest is accepted", needs: Needs::Nothing, prove: newest_is_accepted },
    Fact {
        name: "a HEAD tells length, ETag, type and the time of the last change",
        needs: Needs::Nothing,
        prove: a_head_tells_all,
    },
    Fact {
        name: "any name is one object: spaces, percent signs, slashes in a row, not ASCII",
        needs: Needs::Nothing,
        prove: any_name_is_an_object,
    },
    Fact {
        name: "/info tells anyone what is offered and which limits there are",
        needs: Needs::Nothing,
        prove: capabilities_are_told_to_anyone,
    },
    Fact {
        name: "a request without a token or with a wrong one answers 401, also for what is not there",
        needs: Needs::Nothing,
        prove: no_token_no_answer,
    },
];

fn ranges(probe: &Probe) {
    probe.put("object", b"0123456789");
    let get = |range: &str| probe.send(probe.on("GET", "object").header("Range", range));
    for (range, bytes, content_range) in [
        ("bytes=0-3", "0123", "bytes 0-3/10"),
        ("bytes=4-4", "4", "bytes 4-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-4", "6789", "bytes 6-9/10"),
        ("bytes=8-100", "89", "bytes 8-9/10"),
        ("bytes=-100", "0123456789", "bytes 0-9/10"),
    ] {
        let answer = get(range).expect(206);
        assert_eq!(
            (answer.text().as_str(), answer.required("content-range")),
            (bytes, content_range),
            "{range}"
        );
        assert_eq!(answer.required("content-length"), bytes.len().to_string());
    }
    for range in ["bytes=10-", "bytes=10-20", "bytes=-0"] {
        let answer = get(range).expect(416);
        assert_eq!(answer.required("content-range"), "bytes */10", "{range}");
    }
    for range in ["bytes=5-3", "bytes=", "lines=1-2"] {
        assert_eq!(get(range).expect(200).text(), "0123456789", "{range}");
    }
    probe.put("empty", b"");
    probe.send(probe.on("GET", "empty").header("Range", "bytes=0-")).expect(416);
}

fn several_ranges_come_in_parts(probe: &Probe) {
    probe.put("object", b"0123456789");
    let answer = probe.send(probe.on("GET", "object").header("Range", "bytes=0-1,8-9")).expect(206);
    let kind = answer.required("content-type");
    assert!(kind.starts_with("multipart/byteranges;boundary="), "{kind}");
    let body = answer.text();
    for part in ["Content-Range: bytes 0-1/10\r\n\r\n01", "Content-Range: bytes 8-9/10\r\n\r\n89"] {
        assert!(body.contains(part), "{body}");
    }
}

fn newest_is_accepted(probe: &Probe) {
    probe.put("object", b"bytes");
    assert_eq!(probe.send(probe.on("GET", "object").header("X-Newest", "true")).expect(200).body, b"bytes");
    probe.send(probe.on("HEAD", "object").header("X-Newest", "true")).expect(200);
    probe.send(probe.on("HEAD", "no-such-object").header("X-Newest", "true")).expect(404);
}

fn a_head_tells_all(probe: &Probe) {
    probe.send(probe.on("PUT", "object").header("Content-Type", "text/x-test").body(b"bytes")).expect(201);
    let head = probe.send(probe.on("HEAD", "object")).expect(200);
    assert_eq!(head.required("content-length"), "5");
    assert_eq!(head.required("etag"), "4b3a6218bb3e3a7303e8a171a60fcf92");
    assert_eq!(head.required("content-type"), "text/x-test");
    assert_eq!(head.required("accept-ranges"), "bytes");
    let (seconds, part) = head.required("x-timestamp").split_once('.').expect("a fraction");
    assert!(seconds.parse::<u64>().is_ok() && part.len() == 5, "{head:?}");
    assert!(head.required("last-modified").ends_with(" GMT"), "{head:?}");
}

fn any_name_is_an_object(probe: &Probe) {
    let names = ["a%20b", "a%25b", "a//b", "%C3%A4", "a/", "a%3Fb", "a+b"];
    for (number, name) in names.iter().enumerate() {
        probe.put(name, &[number as u8]);
    }
    for (number, name) in names.iter().enumerate() {
        assert_eq!(probe.bytes(name), [number as u8], "{name}");
    }
    let listing = probe.send(probe.on_container("GET", "")).expect(200).text();
    let mut listed: Vec<&str> = listing.lines().collect();
    listed.sort_unstable();
    assert_eq!(listed, ["a b", "a%b", "a+b", "a/", "a//b", "a?b", "ä"]);
}

fn no_token_no_answer(probe: &Probe) {
    probe.put("object", b"bytes");
    for object in ["object", "no-such-object"] {
        for token in [None, Some("no token")] {
            let mut request = probe.on("GET", object);
            request.headers.clear();
            if let Some(token) = token {
                request = request.header("X-Auth-Token", token);
            }
            probe.send(request).expect(401);
        }
    }
}

fn capabilities_are_told_to_anyone(probe: &Probe) {
    let answer = probe.client.send(&Request::new("GET", "/info")).expect("an answer").expect(200);
    let info = answer.json();
    for limit in
        ["max_file_size", "max_object_name_length", "container_listing_limit", "max_meta_value_length"]
    {
        assert!(info["swift"][limit].is_u64(), "{limit} in {info}");
    }
    let methods = info["tempurl"]["methods"].as_array().expect("methods of TempURL");
    assert!(methods.contains(&"GET".into()), "{info}");
    let digests = info["tempurl"]["allowed_digests"].as_array().expect("digests of TempURL");
    assert!(digests.contains(&"sha256".into()), "{info}");
}
