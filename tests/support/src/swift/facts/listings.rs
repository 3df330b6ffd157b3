//! Facts about listings and bulk deletes.

use super::{Fact, Needs, Probe};

pub(super) const FACTS: &[Fact] = &[
    Fact {
        name: "listings: byte order, prefix, delimiter, marker, end_marker, limit, reverse",
        needs: Needs::Nothing,
        prove: listing_forms,
    },
    Fact {
        name: "a listing in JSON tells name, bytes, hash, type and time; a subdirectory is a row of its own",
        needs: Needs::Nothing,
        prove: a_listing_in_json,
    },
    Fact {
        name: "a page holds 10000 names at most, 412 above",
        needs: Needs::Nothing,
        prove: too_large_a_page,
    },
    Fact {
        name: "a bulk delete answers 200 whatever happened, and tells in its body",
        needs: Needs::Bulk,
        prove: bulk_delete_tells_in_its_body,
    },
];

impl Probe {
    fn names(&self, query: &str) -> Vec<String> {
        let answer = self.send(self.on_container("GET", query));
        // Plain text has no content where nothing is listed.
        assert!(matches!(answer.status, 200 | 204), "{answer:?}");
        answer.text().lines().map(str::to_owned).collect()
    }
}

fn listing_forms(probe: &Probe) {
    for name in ["b/2", "a", "b/1/x", "b/1/y", "c", "b", "B"] {
        probe.put(name, b"bytes");
    }
    for (query, names) in [
        ("", "B a b b/1/x b/1/y b/2 c"),
        ("?prefix=b", "b b/1/x b/1/y b/2"),
        ("?prefix=b/&delimiter=/", "b/1/ b/2"),
        ("?delimiter=/", "B a b b/ c"),
        ("?prefix=b/1/", "b/1/x b/1/y"),
        ("?marker=b/1/x", "b/1/y b/2 c"),
        ("?marker=b/1/", "b/1/x b/1/y b/2 c"),
        ("?end_marker=b/2", "B a b b/1/x b/1/y"),
        ("?marker=a&end_marker=c", "b b/1/x b/1/y b/2"),
        ("?limit=2", "B a"),
        ("?limit=2&marker=a", "b b/1/x"),
        ("?limit=2&prefix=b/&delimiter=/&marker=b/1/", "b/2"),
        ("?limit=0", ""),
        ("?reverse=true", "c b/2 b/1/y b/1/x b a B"),
        ("?reverse=true&marker=b/2&limit=2", "b/1/y b/1/x"),
        ("?reverse=true&end_marker=b", "c b/2 b/1/y b/1/x"),
        ("?reverse=true&prefix=b/&delimiter=/", "b/2 b/1/"),
        ("?prefix=nothing", ""),
    ] {
        assert_eq!(probe.names(query).join(" "), names, "{query}");
    }
}

fn a_listing_in_json(probe: &Probe) {
    let put = probe.on("PUT", "a").header("Content-Type", "text/x-test");
    probe.send(put.body(b"bytes")).expect(201);
    probe.put("b/c", b"");
    let answer = probe.send(probe.on_container("GET", "?format=json&delimiter=/")).expect(200);
    assert_eq!(answer.required("content-type"), "application/json; charset=utf-8");
    assert_eq!(answer.required("x-container-object-count"), "2");
    let rows = answer.json();
    assert_eq!(rows.as_array().map(Vec::len), Some(2), "{rows}");
    assert_eq!(rows[0]["name"], "a");
    assert_eq!(rows[0]["bytes"], 5);
    assert_eq!(rows[0]["hash"], "4b3a6218bb3e3a7303e8a171a60fcf92");
    assert_eq!(rows[0]["content_type"], "text/x-test");
    // 2026-01-02T03:04:05.678901, without a zone: it is UTC.
    let time = rows[0]["last_modified"].as_str().expect("a time");
    assert!(time.len() == 26 && time.as_bytes()[10] == b'T' && time.as_bytes()[19] == b'.', "{time}");
    assert_eq!(rows[1], serde_json::json!({ "subdir": "b/" }));
    let empty = probe.send(probe.on_container("GET", "?format=json&prefix=nothing")).expect(200);
    assert_eq!(empty.json(), serde_json::json!([]));
}

fn too_large_a_page(probe: &Probe) {
    probe.send(probe.on_container("GET", "?limit=10000")).expect(204);
    probe.send(probe.on_container("GET", "?limit=10001")).expect(412);
}

fn bulk_delete_tells_in_its_body(probe: &Probe) {
    probe.put("one", b"bytes");
    probe.put("a%20b", b"bytes");
    let container = &probe.container;
    let delete = |lines: &str| {
        let request = probe.on_account("POST", "?bulk-delete").header("Content-Type", "text/plain");
        probe.send(request.header("Accept", "application/json").body(lines)).expect(200).json()
    };
    let answer = delete(&format!("{container}/one\n/{container}/a%20b\n{container}/no-such-object\n"));
    assert_eq!(answer["Number Deleted"], 2, "{answer}");
    assert_eq!(answer["Number Not Found"], 1, "{answer}");
    assert_eq!(answer["Response Status"], "200 OK", "{answer}");
    assert_eq!(answer["Errors"], serde_json::json!([]), "{answer}");
    assert_eq!((probe.status("one"), probe.status("a%20b")), (404, 404));
    // A container that is not empty is an error of one line.
    probe.put("two", b"bytes");
    let answer = delete(&format!("{container}\n"));
    assert_eq!(answer["Response Status"], "400 Bad Request", "{answer}");
    assert_eq!(answer["Errors"][0][0], container.as_str(), "{answer}");
    assert_eq!(answer["Errors"][0][1], "409 Conflict", "{answer}");
    let answer = delete("");
    assert_eq!(answer["Response Status"], "400 Bad Request", "{answer}");
    assert_eq!(answer["Response Body"], "Invalid bulk delete.", "{answer}");
}
