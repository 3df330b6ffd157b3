//! Facts about large objects: dynamic (DLO) and static (SLO).

use serde_json::json;

use super::{Fact, Needs, Probe};
use crate::http::HttpError;

pub(super) const FACTS: &[Fact] = &[
    Fact {
        name: "a DLO is what a listing says: with a segment missing it answers 200 and fewer bytes",
        needs: Needs::Nothing,
        prove: a_dlo_with_a_gap_is_short,
    },
    Fact {
        name: "a DLO's ETag is quoted, of its segments' ETags; its manifest by itself is an empty object",
        needs: Needs::Nothing,
        prove: a_dlo_tells_what_it_is,
    },
    Fact { name: "ranges of a DLO cross segments", needs: Needs::Nothing, prove: ranges_of_a_dlo },
    Fact {
        name: "a POST on a DLO drops X-Object-Manifest: it is an empty object from then on",
        needs: Needs::Nothing,
        prove: a_post_breaks_a_dlo,
    },
    Fact {
        name: "a DELETE of a DLO leaves its segments",
        needs: Needs::Nothing,
        prove: a_deleted_dlo_leaves_its_segments,
    },
    Fact {
        name: "a SLO is checked when it is made: 400 for a wrong or missing segment",
        needs: Needs::Slo,
        prove: a_slo_is_checked_when_made,
    },
    Fact {
        name: "a SLO has length and quoted ETag, ranges cross segments, and its manifest can be read",
        needs: Needs::Slo,
        prove: a_slo_tells_what_it_is,
    },
    Fact {
        name: "a SLO without its first segment answers 409; without a later one the body breaks off",
        needs: Needs::Slo,
        prove: a_slo_with_a_gap_breaks,
    },
    Fact {
        name: "a segment of a SLO that was overwritten breaks the body off",
        needs: Needs::Slo,
        prove: a_slo_with_another_segment_breaks,
    },
    Fact {
        name: "multipart-manifest=delete removes a SLO with its segments, a plain DELETE leaves them",
        needs: Needs::Slo,
        prove: a_slo_is_deleted_with_its_segments,
    },
    Fact {
        name: "heartbeat=on answers 202 at once, and tells in its body how it went",
        needs: Needs::Slo,
        prove: a_heartbeat_answers_in_its_body,
    },
];

const MANIFEST: &str = "object?multipart-manifest=get";

impl Probe {
    fn segments(&self) {
        for (name, body) in [("segments/1", "first "), ("segments/2", "second "), ("segments/3", "third")] {
            self.put(name, body.as_bytes());
        }
    }

    fn dlo(&self) {
        self.segments();
        let manifest = format!("{}/segments/", self.container);
        self.send(self.on("PUT", "object").header("X-Object-Manifest", manifest).body("")).expect(201);
    }

    fn slo_manifest(&self) -> serde_json::Value {
        let row = |name: &str| {
            let head = self.send(self.on("HEAD", name)).expect(200);
            let size: u64 = head.required("content-length").parse().expect("a length");
            json!({
                "path": format!("/{}/{name}", self.container),
                "etag": head.required("etag"),
                "size_bytes": size,
            })
        };
        ["segments/1", "segments/2", "segments/3"].map(row).into_iter().collect()
    }

    fn put_slo(&self) {
        let manifest = self.slo_manifest().to_string();
        self.send(self.on("PUT", "object?multipart-manifest=put").body(manifest)).expect(201);
    }

    fn slo(&self) {
        self.segments();
        self.put_slo();
    }

    /// A SLO that is too long for the buffers of a proxy: when it breaks, its head is out.
    fn long_slo(&self) {
        for (name, byte) in [("segments/1", 1), ("segments/2", 2), ("segments/3", 3)] {
            self.put(name, &[byte; LONG]);
        }
        self.put_slo();
    }

    /// Reads the long SLO to where the connection breaks: nothing but the first `segments` may come.
    fn assert_broken_after(&self, segments: usize) {
        match self.client.send(&self.on("GET", "object")) {
            Err(HttpError::Truncated { response, .. }) => {
                assert_eq!(response.status, 200);
                let whole = [[1; LONG], [2; LONG], [3; LONG]].concat();
                let body = response.body;
                assert!(body.len() <= segments * LONG && whole.starts_with(&body), "{} bytes", body.len());
            }
            other => panic!("a whole answer: {:?}", other.map(|answer| (answer.status, answer.headers))),
        }
    }
}

/// The length of a segment of [`Probe::long_slo`].
const LONG: usize = 200_000;

fn a_dlo_with_a_gap_is_short(probe: &Probe) {
    probe.dlo();
    assert_eq!(probe.bytes("object"), b"first second third");
    probe.send(probe.on("DELETE", "segments/2")).expect(204);
    let answer = probe.send(probe.on("GET", "object")).expect(200);
    assert_eq!((answer.required("content-length"), answer.text().as_str()), ("11", "first third"));
    probe.send(probe.on("DELETE", "segments/1")).expect(204);
    probe.send(probe.on("DELETE", "segments/3")).expect(204);
    assert_eq!(probe.bytes("object"), b"");
    // And a stranger below the prefix is a part of it.
    probe.put("segments/stranger", b"stranger");
    assert_eq!(probe.bytes("object"), b"stranger");
}

fn a_dlo_tells_what_it_is(probe: &Probe) {
    probe.dlo();
    let head = probe.send(probe.on("HEAD", "object")).expect(200);
    assert_eq!(head.required("content-length"), "18");
    assert_eq!(head.required("x-object-manifest"), format!("{}/segments/", probe.container));
    let etag = head.required("etag");
    assert!(etag.len() == 34 && etag.starts_with('"') && etag.ends_with('"'), "{etag}");
    let raw = probe.send(probe.on("GET", MANIFEST)).expect(200);
    assert_eq!((raw.required("content-length"), raw.body.len()), ("0", 0));
    assert_eq!(raw.required("etag"), "d41d8cd98f00b204e9800998ecf8427e");
    assert_eq!(raw.required("x-object-manifest"), format!("{}/segments/", probe.container));
    let rows = probe.send(probe.on_container("GET", "?format=json&prefix=object")).expect(200).json();
    assert_eq!(rows[0]["bytes"], 0, "{rows}");
}

fn ranges_of_a_dlo(probe: &Probe) {
    probe.dlo();
    let get = |range: &str| probe.send(probe.on("GET", "object").header("Range", range));
    let answer = get("bytes=4-8").expect(206);
    assert_eq!((answer.text().as_str(), answer.required("content-range")), ("t sec", "bytes 4-8/18"));
    assert_eq!(get("bytes=-7").expect(206).text(), "d third"[..7]);
    get("bytes=18-").expect(416);
}

fn a_post_breaks_a_dlo(probe: &Probe) {
    probe.dlo();
    probe.send(probe.on("POST", "object").header("X-Object-Meta-One", "1")).expect(202);
    let answer = probe.send(probe.on("GET", "object")).expect(200);
    assert_eq!((answer.header("x-object-manifest"), answer.body.len()), (None, 0));
}

fn a_deleted_dlo_leaves_its_segments(probe: &Probe) {
    probe.dlo();
    probe.send(probe.on("DELETE", "object")).expect(204);
    assert_eq!(probe.status("object"), 404);
    assert_eq!(probe.bytes("segments/1"), b"first ");
}

fn a_slo_is_checked_when_made(probe: &Probe) {
    probe.segments();
    let put = |manifest: &serde_json::Value| {
        probe.send(probe.on("PUT", "object?multipart-manifest=put").body(manifest.to_string()))
    };
    let right = probe.slo_manifest();
    for (member, wrong) in [("etag", json!("0".repeat(32))), ("size_bytes", json!(8))] {
        let mut manifest = right.clone();
        manifest[1][member] = wrong;
        let answer = put(&manifest).expect(400);
        assert!(answer.text().contains("segments/2"), "{}", answer.text());
    }
    let mut missing = right.clone();
    missing[2]["path"] = json!(format!("/{}/segments/4", probe.container));
    let answer = put(&missing).expect(400);
    assert!(answer.text().contains("404 Not Found"), "{}", answer.text());
    assert_eq!(probe.status("object"), 404);
    put(&right).expect(201);
}

fn a_slo_tells_what_it_is(probe: &Probe) {
    probe.slo();
    let answer = probe.send(probe.on("GET", "object")).expect(200);
    assert_eq!(answer.text(), "first second third");
    assert_eq!(answer.required("x-static-large-object").to_lowercase(), "true");
    let etag = answer.required("etag");
    assert!(etag.len() == 34 && etag.starts_with('"') && etag.ends_with('"'), "{etag}");
    let range = probe.on("GET", "object").header("Range", "bytes=4-8");
    let part = probe.send(range.header("If-Match", etag)).expect(206);
    assert_eq!((part.text().as_str(), part.required("content-range")), ("t sec", "bytes 4-8/18"));
    let raw = probe.send(probe.on("GET", MANIFEST)).expect(200).json();
    assert_eq!(raw.as_array().map(Vec::len), Some(3), "{raw}");
    assert_eq!(raw[1]["name"], format!("/{}/segments/2", probe.container), "{raw}");
    assert_eq!(raw[1]["bytes"], 7, "{raw}");
    assert_eq!(raw[1]["hash"], probe.send(probe.on("HEAD", "segments/2")).required("etag"), "{raw}");
    let rows = probe.send(probe.on_container("GET", "?format=json&prefix=object")).expect(200).json();
    assert_eq!(rows[0]["bytes"], 18, "{rows}");
}

fn a_slo_with_a_gap_breaks(probe: &Probe) {
    probe.long_slo();
    probe.send(probe.on("DELETE", "segments/2")).expect(204);
    probe.assert_broken_after(1);
    probe.send(probe.on("DELETE", "segments/1")).expect(204);
    probe.send(probe.on("GET", "object")).expect(409);
    // Its head knows nothing of it.
    let head = probe.send(probe.on("HEAD", "object")).expect(200);
    assert_eq!(head.required("content-length"), (3 * LONG).to_string());
}

fn a_slo_with_another_segment_breaks(probe: &Probe) {
    probe.long_slo();
    probe.put("segments/3", &[4; LONG]);
    probe.assert_broken_after(2);
}

fn a_slo_is_deleted_with_its_segments(probe: &Probe) {
    probe.slo();
    probe.send(probe.on("DELETE", "object")).expect(204);
    assert_eq!(probe.bytes("segments/1"), b"first ");
    probe.slo();
    let delete = probe.on("DELETE", "object?multipart-manifest=delete").header("Accept", "application/json");
    let answer = probe.send(delete).expect(200).json();
    assert_eq!(answer["Number Deleted"], 4, "{answer}");
    assert_eq!(answer["Response Status"], "200 OK", "{answer}");
    assert_eq!(
        (probe.status("object"), probe.status("segments/1"), probe.status("segments/3")),
        (404, 404, 404)
    );
}

fn a_heartbeat_answers_in_its_body(probe: &Probe) {
    probe.segments();
    let put = |manifest: &serde_json::Value| {
        let request = probe.on("PUT", "object?multipart-manifest=put&heartbeat=on");
        let request = request.header("Accept", "application/json").body(manifest.to_string());
        probe.send(request).expect(202).json()
    };
    let right = probe.slo_manifest();
    let mut wrong = right.clone();
    wrong[0]["size_bytes"] = json!(7);
    let answer = put(&wrong);
    assert_eq!(answer["Response Status"], "400 Bad Request", "{answer}");
    assert_eq!(probe.status("object"), 404);
    let answer = put(&right);
    assert_eq!(answer["Response Status"], "201 Created", "{answer}");
    assert_eq!(probe.bytes("object"), b"first second third");
}
