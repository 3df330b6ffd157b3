//! Facts about conditional requests.

use super::{Fact, Needs, Probe};

pub(super) const FACTS: &[Fact] = &[
    Fact {
        name: "If-None-Match: * on PUT answers 412 where the object is there, 201 where it is not",
        needs: Needs::Nothing,
        prove: if_none_match_on_put,
    },
    Fact {
        name: "two overlapping PUTs with If-None-Match: * both answer 201",
        needs: Needs::Nothing,
        prove: overlapping_exclusive_puts_both_win,
    },
    Fact {
        name: "If-None-Match on PUT takes nothing but *",
        needs: Needs::Nothing,
        prove: if_none_match_takes_a_star_only,
    },
    Fact {
        name: "a GET with a wrong If-Match answers 412, with the right one 200; If-None-Match of its ETag 304",
        needs: Needs::Nothing,
        prove: conditional_gets,
    },
    Fact {
        name: "If-Match on DELETE is ignored",
        needs: Needs::Nothing,
        prove: if_match_on_delete_is_ignored,
    },
    Fact {
        name: "X-If-Delete-At on DELETE is a condition: 412 where it differs, 0 is an object that does not expire",
        needs: Needs::Nothing,
        prove: if_delete_at_is_a_condition,
    },
    Fact {
        name: "with Expect: 100-continue a refusal comes before the body: 401, 404, 412",
        needs: Needs::Nothing,
        prove: refusals_come_before_the_body,
    },
    Fact {
        name: "a client's X-Timestamp is ignored",
        needs: Needs::Nothing,
        prove: a_timestamp_of_a_client_is_ignored_by_default,
    },
];

fn if_none_match_on_put(probe: &Probe) {
    let put = |body: &[u8]| probe.send(probe.on("PUT", "object").header("If-None-Match", "*").body(body));
    put(b"first").expect(201);
    put(b"second").expect(412);
    assert_eq!(probe.bytes("object"), b"first");
    probe.send(probe.on("DELETE", "object")).expect(204);
    put(b"third").expect(201);
    assert_eq!(probe.bytes("object"), b"third");
}

fn overlapping_exclusive_puts_both_win(probe: &Probe) {
    let put = || probe.on("PUT", "object").header("If-None-Match", "*").header("Content-Length", "3");
    let (one, two) = (probe.begin(put()), probe.begin(put()));
    Probe::end(two, b"two").expect(201);
    Probe::end(one, b"one").expect(201);
    // The later start stands.
    assert_eq!(probe.bytes("object"), b"two");
}

fn if_none_match_takes_a_star_only(probe: &Probe) {
    let put = probe.on("PUT", "object").header("If-None-Match", "4b3a6218bb3e3a7303e8a171a60fcf92");
    probe.send(put.body(b"bytes")).expect(400);
    assert_eq!(probe.status("object"), 404);
}

fn conditional_gets(probe: &Probe) {
    let etag = probe.put("object", b"bytes").required("etag").to_owned();
    let get = |name: &str, value: &str| probe.send(probe.on("GET", "object").header(name, value));
    get("If-Match", "0123456789abcdef0123456789abcdef").expect(412);
    assert_eq!(get("If-Match", &etag).expect(200).body, b"bytes");
    assert_eq!(get("If-Match", &format!("\"{etag}\"")).expect(200).body, b"bytes");
    get("If-None-Match", &etag).expect(304);
    let ranged = probe.on("GET", "object").header("Range", "bytes=1-2");
    assert_eq!(probe.send(ranged.clone().header("If-Match", etag)).expect(206).body, b"yt");
    probe.send(ranged.header("If-Match", "0123456789abcdef0123456789abcdef")).expect(412);
}

fn if_match_on_delete_is_ignored(probe: &Probe) {
    probe.put("object", b"bytes");
    let delete = probe.on("DELETE", "object").header("If-Match", "0123456789abcdef0123456789abcdef");
    probe.send(delete).expect(204);
    assert_eq!(probe.status("object"), 404);
}

fn if_delete_at_is_a_condition(probe: &Probe) {
    const FAR: &str = "9999999001";
    let delete = |object: &str, at: &str| probe.send(probe.on("DELETE", object).header("X-If-Delete-At", at));
    probe.send(probe.on("PUT", "expiring").header("X-Delete-At", FAR).body(b"bytes")).expect(201);
    assert_eq!(probe.send(probe.on("HEAD", "expiring")).expect(200).required("x-delete-at"), FAR);
    delete("expiring", "9999999000").expect(412);
    delete("expiring", "0").expect(412);
    assert_eq!(probe.bytes("expiring"), b"bytes");
    delete("expiring", FAR).expect(204);
    assert_eq!(probe.status("expiring"), 404);

    probe.put("lasting", b"bytes");
    delete("lasting", FAR).expect(412);
    delete("lasting", "0").expect(204);
    assert_eq!(probe.status("lasting"), 404);
}

fn a_timestamp_of_a_client_is_ignored_by_default(probe: &Probe) {
    let put =
        |at: &str, body: &[u8]| probe.send(probe.on("PUT", "object").header("X-Timestamp", at).body(body));
    put("9999999001.00000", b"first").expect(201);
    put("1000000000.00000", b"second").expect(201);
    assert_eq!(probe.bytes("object"), b"second");
}

fn refusals_come_before_the_body(probe: &Probe) {
    probe.put("object", b"bytes");
    let mut stranger = probe.on("PUT", "object");
    stranger.headers.clear();
    let lost = probe.on_account("PUT", "/no-such-container/object");
    let late = probe.on("PUT", "object").header("If-None-Match", "*");
    for (request, status) in [(stranger, 401), (lost, 404), (late, 412)] {
        let mut connection = probe.client.connect().expect("a connection");
        let request = request.header("Expect", "100-continue").header("Content-Length", "1000000");
        connection.write_head(&request).expect("the head is sent");
        connection.read("PUT").expect("an answer").expect(status);
    }
}
