//! Facts about PUT, POST, DELETE and COPY.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Fact, Needs, Probe};
use crate::process::wait_until;

pub(super) const FACTS: &[Fact] = &[
    Fact {
        name: "a PUT is ordered by its start: a DELETE during it wins, and the PUT answers 201 all the same",
        needs: Needs::Nothing,
        prove: a_put_is_ordered_by_its_start,
    },
    Fact {
        name: "a PUT that began before a finished one answers 201 at its end, and the later start stands",
        needs: Needs::Nothing,
        prove: the_later_start_stands,
    },
    Fact {
        name: "a PUT older than what stands, or than a tombstone, answers 202 and stores nothing",
        needs: Needs::ClientTimestamps,
        prove: an_older_put_answers_202,
    },
    Fact {
        name: "a DELETE older than what stands answers 409 and deletes nothing",
        needs: Needs::ClientTimestamps,
        prove: an_older_delete_answers_409,
    },
    Fact {
        name: "a chunked PUT closed before its last chunk leaves no object",
        needs: Needs::Nothing,
        prove: a_cut_chunked_put_leaves_nothing,
    },
    Fact {
        name: "a PUT closed before its announced length leaves no object, and what stood stands",
        needs: Needs::Nothing,
        prove: a_short_put_leaves_nothing,
    },
    Fact {
        name: "a PUT whose body is not of its ETag answers 422 and stores nothing",
        needs: Needs::Nothing,
        prove: a_wrong_etag_answers_422,
    },
    Fact {
        name: "a PUT without a length answers 411, one into a missing container 404",
        needs: Needs::Nothing,
        prove: impossible_puts_are_refused,
    },
    Fact {
        name: "a DELETE of what is not there answers 404; sent again after a new PUT it deletes the new object",
        needs: Needs::Nothing,
        prove: a_replayed_delete_deletes_the_new_object,
    },
    Fact {
        name: "a POST replaces all metadata of an object, and keeps its bytes",
        needs: Needs::Nothing,
        prove: a_post_replaces_metadata,
    },
    Fact {
        name: "X-Delete-After hides the object when its time has come, not from listings",
        needs: Needs::Nothing,
        prove: an_object_expires,
    },
    Fact {
        name: "COPY makes a second object with bytes and metadata of the first",
        needs: Needs::Nothing,
        prove: copy_copies,
    },
    Fact {
        name: "a container with objects answers 409 to DELETE, an empty one 204; a second PUT of it 202",
        needs: Needs::Nothing,
        prove: containers_come_and_go,
    },
];

fn a_put_is_ordered_by_its_start(probe: &Probe) {
    for there_before in [false, true] {
        if there_before {
            probe.put("object", b"before");
        }
        let slow = probe.begin(probe.on("PUT", "object").header("Content-Length", "4"));
        let deleted = probe.send(probe.on("DELETE", "object"));
        assert_eq!(deleted.status, if there_before { 204 } else { 404 });
        Probe::end(slow, b"slow").expect(201);
        assert_eq!(probe.status("object"), 404, "there before: {there_before}");
    }
}

fn the_later_start_stands(probe: &Probe) {
    let slow = probe.begin(probe.on("PUT", "object").header("Content-Length", "4"));
    probe.put("object", b"fast");
    Probe::end(slow, b"slow").expect(201);
    assert_eq!(probe.bytes("object"), b"fast");
}

/// A timestamp as Swift writes them, `seconds` from here.
fn timestamp(seconds: i64) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let seconds = i64::try_from(since.as_secs()).expect("a clock of this age") + seconds;
    format!("{seconds:010}.00000")
}

fn an_older_put_answers_202(probe: &Probe) {
    probe
        .send(probe.on("PUT", "object").header("X-Timestamp", timestamp(300)).body(b"of the future"))
        .expect(201);
    probe.send(probe.on("PUT", "object").body(b"of today")).expect(202);
    assert_eq!(probe.bytes("object"), b"of the future");
    probe.send(probe.on("DELETE", "object").header("X-Timestamp", timestamp(600))).expect(204);
    probe.send(probe.on("PUT", "object").body(b"of today")).expect(202);
    assert_eq!(probe.status("object"), 404);
}

fn an_older_delete_answers_409(probe: &Probe) {
    probe
        .send(probe.on("PUT", "object").header("X-Timestamp", timestamp(300)).body(b"of the future"))
        .expect(201);
    probe.send(probe.on("DELETE", "object")).expect(409);
    assert_eq!(probe.bytes("object"), b"of the future");
}

fn a_cut_chunked_put_leaves_nothing(probe: &Probe) {
    let mut connection = probe.begin(probe.on("PUT", "object").header("Transfer-Encoding", "chunked"));
    connection.write_bytes(b"5\r\nbytes\r\n").expect("a chunk is sent");
    let answer = Probe::abandon(connection);
    assert!(answer.as_ref().is_none_or(|answer| answer.status >= 400), "{answer:?}");
    assert_eq!(probe.status("object"), 404);
}

fn a_short_put_leaves_nothing(probe: &Probe) {
    for (before, after) in [(None, 404), (Some(b"before"), 200)] {
        if let Some(before) = before {
            probe.put("object", before);
        }
        let mut connection = probe.begin(probe.on("PUT", "object").header("Content-Length", "100"));
        connection.write_bytes(&[7; 90]).expect("a part is sent");
        let answer = Probe::abandon(connection);
        assert!(answer.as_ref().is_none_or(|answer| answer.status >= 400), "{answer:?}");
        assert_eq!(probe.status("object"), after);
    }
    assert_eq!(probe.bytes("object"), b"before");
}

fn a_wrong_etag_answers_422(probe: &Probe) {
    let etag = "0".repeat(32);
    probe.send(probe.on("PUT", "object").header("ETag", etag).body(b"bytes")).expect(422);
    assert_eq!(probe.status("object"), 404);
    // MD5 of `bytes`, in the answer without quotes.
    let etag = "4b3a6218bb3e3a7303e8a171a60fcf92";
    let stored = probe.send(probe.on("PUT", "object").header("ETag", etag).body(b"bytes")).expect(201);
    assert_eq!(stored.required("etag"), etag);
    assert_eq!(probe.send(probe.on("HEAD", "object")).expect(200).required("etag"), etag);
}

fn impossible_puts_are_refused(probe: &Probe) {
    probe.send(probe.on("PUT", "object")).expect(411);
    probe.send(probe.on_account("PUT", "/no-such-container/object").body(b"bytes")).expect(404);
}

fn a_replayed_delete_deletes_the_new_object(probe: &Probe) {
    probe.send(probe.on("DELETE", "object")).expect(404);
    probe.put("object", b"old");
    probe.send(probe.on("DELETE", "object")).expect(204);
    probe.put("object", b"new");
    probe.send(probe.on("DELETE", "object")).expect(204);
    assert_eq!(probe.status("object"), 404);
}

fn a_post_replaces_metadata(probe: &Probe) {
    let put = probe.on("PUT", "object").header("X-Object-Meta-One", "1").header("Content-Type", "text/plain");
    probe.send(put.body(b"bytes")).expect(201);
    probe.send(probe.on("POST", "object").header("X-Object-Meta-Two", "2")).expect(202);
    let head = probe.send(probe.on("GET", "object")).expect(200);
    assert_eq!(head.header("x-object-meta-one"), None);
    assert_eq!(head.header("x-object-meta-two"), Some("2"));
    assert_eq!(head.header("content-type"), Some("text/plain"));
    assert_eq!(head.body, b"bytes");
}

fn an_object_expires(probe: &Probe) {
    let seconds = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let put = probe.on("PUT", "object").header("X-Delete-After", "3").body(b"bytes");
    probe.send(put).expect(201);
    let head = probe.send(probe.on("HEAD", "object")).expect(200);
    let end: u64 = head.required("x-delete-at").parse().expect("seconds since 1970");
    wait_until("the object to expire", Duration::from_secs(20), || probe.status("object") == 404);
    assert!(seconds() >= end, "expired before its time");
    probe.send(probe.on("GET", "object")).expect(404);
    assert_eq!(probe.send(probe.on_container("GET", "")).expect(200).text(), "object\n");
    // And a POST cannot bring it back.
    probe.send(probe.on("POST", "object").header("X-Remove-Delete-At", "1")).expect(404);
}

fn copy_copies(probe: &Probe) {
    probe.send(probe.on("PUT", "first").header("X-Object-Meta-One", "1").body(b"bytes")).expect(201);
    let to = format!("{}/second", probe.container);
    probe.send(probe.on("COPY", "first").header("Destination", to)).expect(201);
    let copy = probe.send(probe.on("GET", "second")).expect(200);
    assert_eq!((copy.body.as_slice(), copy.header("x-object-meta-one")), (b"bytes".as_slice(), Some("1")));
    assert_eq!(probe.bytes("first"), b"bytes");
    let to = format!("{}/third", probe.container);
    probe.send(probe.on("COPY", "no-such-object").header("Destination", to)).expect(404);
}

fn containers_come_and_go(probe: &Probe) {
    probe.send(probe.on_container("PUT", "")).expect(202);
    probe.put("object", b"bytes");
    probe.send(probe.on_container("DELETE", "")).expect(409);
    let head = probe.send(probe.on_container("HEAD", "")).expect(204);
    assert_eq!(head.required("x-container-object-count"), "1");
    probe.send(probe.on("DELETE", "object")).expect(204);
    probe.send(probe.on_container("DELETE", "")).expect(204);
    probe.send(probe.on_container("HEAD", "")).expect(404);
    probe.send(probe.on_container("GET", "")).expect(404);
    probe.send(probe.on_container("DELETE", "")).expect(404);
}
