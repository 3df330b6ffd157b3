//! Faults: each on demand, written down, and the same again for the same seed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

#[path = "support/common.rs"]
mod common;

use std::time::Duration;

use common::Cluster;
use wharfinger_fake_swift::{Delay, Event, Fault, Kind, Moment, Options, Rule};
use wharfinger_test_support::{HttpError, Response};

fn refuse(status: u16, moment: Moment) -> Fault {
    Fault::Refuse { status, retry_after: None, moment }
}

#[track_caller]
fn lost(result: &Result<Response, HttpError>) {
    assert!(matches!(result, Err(HttpError::Io(_))), "an answer: {result:?}");
}

#[track_caller]
fn truncated(result: Result<Response, HttpError>) -> Response {
    match result {
        Err(HttpError::Truncated { response, .. }) => *response,
        other => panic!("not broken off: {other:?}"),
    }
}

#[test]
fn a_rule_strikes_the_kinds_names_and_numbers_that_it_says() {
    let swift = Cluster::start();
    let rule = Rule::new(refuse(503, Moment::BeforeBody));
    swift.fake.inject(rule.on(&[Kind::Get, Kind::Head]).named("/c/a").after(1, 2));
    swift.put("a", b"x");
    swift.put("b", b"x");
    let statuses: Vec<u16> = ["b", "a", "b", "a", "a", "a"].map(|name| swift.get(name).status).to_vec();
    assert_eq!(statuses, [200, 200, 200, 503, 503, 200]);
    let events = swift.fake.events();
    assert_eq!(events.len(), 2);
    assert_eq!((events[0].method.as_str(), events[0].path.as_str()), ("GET", "/v1/AUTH_test/c/a"));
    assert_eq!(events[0].fault, refuse(503, Moment::BeforeBody));
    swift.fake.inject(Rule::new(refuse(503, Moment::BeforeBody)));
    swift.get("a").expect(503);
    swift.fake.clear_faults();
    swift.get("a").expect(200);
}

#[test]
fn a_refusal_can_say_when_to_come_again() {
    let swift = Cluster::start();
    for status in [429, 498, 503] {
        swift.fake.inject_once(Fault::Refuse { status, retry_after: Some(2), moment: Moment::BeforeBody });
        assert_eq!(swift.get("a").expect(status).required("retry-after"), "2");
    }
    swift.fake.inject_once(refuse(507, Moment::AfterBody));
    swift.send(&swift.request("PUT", "a").body(*b"x")).expect(507);
    swift.get("a").expect(404);
}

#[test]
fn a_token_can_end_before_in_the_middle_of_and_after_the_body() {
    let swift = Cluster::start();
    for moment in [Moment::BeforeBody, Moment::MidBody, Moment::AfterBody] {
        swift.fake.inject_once(refuse(401, moment));
        let mut connection = swift.client.connect().unwrap();
        let head = swift.request("PUT", "a").header("Content-Length", "10").header("Expect", "100-continue");
        connection.write_head(&head).unwrap();
        if moment != Moment::BeforeBody {
            assert_eq!(connection.read_some(25).unwrap(), b"HTTP/1.1 100 Continue\r\n\r\n");
            connection.write_bytes(b"01234").unwrap();
        }
        if moment == Moment::AfterBody {
            connection.write_bytes(b"56789").unwrap();
        }
        connection.read("PUT").unwrap().expect(401);
        swift.get("a").expect(404);
    }
    assert_eq!(swift.fake.events().len(), 3);
}

#[test]
fn an_answer_can_be_lost_after_the_effect_or_before() {
    let swift = Cluster::start();
    swift.fake.inject_once(Fault::AnswerLost);
    lost(&swift.try_send(&swift.request("PUT", "a").body(*b"x")));
    swift.get("a").expect(200);
    for moment in [Moment::BeforeBody, Moment::MidBody, Moment::AfterBody] {
        swift.fake.inject_once(Fault::Reset(moment));
        lost(&swift.try_send(&swift.request("PUT", "b").body(*b"x")));
        swift.get("b").expect(404);
    }
    let statuses: Vec<_> = swift.fake.requests().into_iter().filter(|asked| asked.status.is_none()).collect();
    assert_eq!(statuses.len(), 4);
}

#[test]
fn a_request_can_hang_with_and_without_its_effect() {
    let swift = Cluster::with(Options { hang: Duration::from_millis(1500), ..Options::default() });
    let hung = |fault| {
        swift.fake.inject_once(fault);
        let mut connection = swift.client.connect().unwrap();
        connection.socket().set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        connection.write(&swift.request("PUT", "a").body(*b"x")).unwrap();
        let error = connection.read_some(1).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}");
        connection.socket().set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let error = connection.read_some(1).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    };
    hung(Fault::Hang(Moment::AfterBody));
    swift.get("a").expect(404);
    hung(Fault::AnswerHung);
    swift.get("a").expect(200);
}

#[test]
fn a_body_can_end_early_stop_or_lie() {
    let swift = Cluster::start();
    let content: Vec<u8> = (0..300_000_u32).map(|number| (number % 251) as u8).collect();
    swift.put("a", &content);
    let get = || swift.try_send(&swift.request("GET", "a"));
    swift.fake.inject_once(Fault::ShortBody { at: Some(200_000) });
    let short = truncated(get());
    assert_eq!((short.status, short.required("content-length")), (200, "300000"));
    assert_eq!(short.body, content[..200_000]);
    swift.fake.inject_once(Fault::ShortBody { at: Some(0) });
    assert!(truncated(get()).body.is_empty());
    swift.fake.inject_once(Fault::WrongByte { at: Some(70_000) });
    let wrong = get().unwrap().expect(200).body;
    assert_eq!(wrong.len(), content.len());
    let differing: Vec<usize> = (0..content.len()).filter(|at| wrong[*at] != content[*at]).collect();
    assert_eq!(differing, [70_000]);
    swift.fake.inject_once(Fault::HungBody { at: Some(1000) });
    let mut connection = swift.client.connect().unwrap();
    connection.write(&swift.request("GET", "a")).unwrap();
    connection.read_head().unwrap();
    assert_eq!(connection.read_some(1000).unwrap(), content[..1000]);
    connection.socket().set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert_eq!(connection.read_some(1).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(get().unwrap().expect(200).body, content);
}

#[test]
fn a_stale_replica_shows_what_was_before_unless_the_newest_is_asked_for() {
    let swift = Cluster::start();
    let get = |newest: bool| {
        let request = swift.request("GET", "a");
        let request = if newest { request.header("X-Newest", "true") } else { request };
        let answer = swift.send(&request);
        (answer.status == 200).then_some(answer.body)
    };
    let within = Delay::Requests(3);
    swift.fake.inject(Rule::new(Fault::Stale { within }).on(&[Kind::Get]));
    swift.put("a", b"first");
    assert_eq!(get(false), None, "a fresh object may be missing");
    assert_eq!(get(true).as_deref(), Some(&b"first"[..]));
    assert_eq!(get(false), None);
    assert_eq!(get(false).as_deref(), Some(&b"first"[..]), "for three requests");
    swift.put("a", b"second");
    assert_eq!(get(false).as_deref(), Some(&b"first"[..]));
    assert_eq!(get(true).as_deref(), Some(&b"second"[..]));
    swift.send(&swift.request("DELETE", "a")).expect(204);
    assert_eq!(get(false).as_deref(), Some(&b"second"[..]));
    assert_eq!(get(true), None);
}

#[test]
fn listings_can_lag_and_lose_rows() {
    let swift = Cluster::start();
    let late = |delay| Rule::new(Fault::RowLate(delay)).next(1);
    swift.fake.inject(late(Delay::Requests(2)));
    swift.put("a", b"x");
    assert!(swift.list("").is_empty());
    swift.get("a").expect(200);
    assert_eq!(swift.list(""), ["a"]);
    swift.fake.inject(late(Delay::Time(Duration::from_secs(10))));
    swift.send(&swift.request("DELETE", "a")).expect(204);
    assert_eq!(swift.list(""), ["a"], "a deleted object is still listed");
    swift.fake.advance(Duration::from_secs(11));
    assert!(swift.list("").is_empty());
    swift.fake.inject(Rule::new(Fault::RowLost).next(1));
    swift.put("b", b"x");
    swift.put("d", b"x");
    swift.fake.hide_row("c", "d");
    swift.fake.settle();
    assert!(swift.list("").is_empty());
    assert_eq!(swift.fake.objects("c"), ["b", "d"]);
    swift.fake.heal_listings();
    assert_eq!(swift.list(""), ["b", "d"]);
}

#[test]
fn a_late_row_does_not_undo_a_newer_one() {
    let swift = Cluster::start();
    swift.fake.inject(Rule::new(Fault::RowLate(Delay::Requests(1))).next(1));
    swift.put("a", b"x");
    swift.send(&swift.request("DELETE", "a")).expect(204);
    swift.fake.settle();
    assert!(swift.list("").is_empty());
}

#[test]
fn a_put_can_be_superseded_without_anything_there() {
    let swift = Cluster::start();
    swift.fake.inject_once(Fault::Superseded);
    swift.send(&swift.request("PUT", "a").body(*b"x")).expect(202);
    swift.get("a").expect(404);
}

#[test]
fn log_ins_and_capabilities_can_fail_too() {
    let swift = Cluster::start();
    swift.fake.inject(Rule::new(refuse(503, Moment::BeforeBody)).on(&[Kind::Auth, Kind::Info]).next(2));
    common::log_in(&swift.client, "test:tester", "testing").expect(503);
    swift.send(&wharfinger_test_support::Request::new("GET", "/info")).expect(503);
    common::log_in(&swift.client, "test:tester", "testing").expect(200);
}

/// What a run of mixed requests under mixed faults injects.
fn run(seed: u64) -> Vec<Event> {
    let swift = Cluster::with(Options { seed, hang: Duration::ZERO, ..Options::default() });
    swift.fake.inject(Rule::new(refuse(503, Moment::BeforeBody)).burst(0.05, 3));
    swift.fake.inject(Rule::new(Fault::AnswerLost).chance(0.1));
    swift.fake.inject(Rule::new(Fault::ShortBody { at: None }).chance(0.2));
    swift.fake.inject(Rule::new(Fault::RowLate(Delay::Requests(4))).chance(0.3));
    for step in 0..150 {
        let name = format!("o{}", step % 7);
        let method = ["PUT", "GET", "HEAD", "DELETE"][step % 4];
        let request = swift.request(method, &name);
        let _ = swift.try_send(&if method == "PUT" { request.body(*b"hello") } else { request });
    }
    swift.fake.events()
}

#[test]
fn the_same_seed_and_requests_give_the_same_faults() {
    let first = run(7);
    assert!(first.len() > 20, "{} faults", first.len());
    assert_eq!(first, run(7));
    assert_ne!(first, run(8));
    let bursts = first.iter().filter(|event| event.fault == refuse(503, Moment::BeforeBody)).count();
    assert_eq!(bursts % 3, 0, "bursts are whole");
}

#[test]
fn after_a_storm_of_every_fault_listings_heal_to_what_is_there() {
    for seed in 1..6 {
        println!("seed {seed}");
        let swift = Cluster::with(Options { seed, ..Options::default() });
        let rules = Rule::every_fault(0.03);
        let kinds = rules.len();
        for rule in rules {
            swift.fake.inject(rule);
        }
        for step in 0..600_usize {
            let name = format!("o{}", (step * 7 + step / 11) % 13);
            let request = swift.request(["PUT", "GET", "PUT", "HEAD", "DELETE"][step % 5], &name);
            let put = request.method == "PUT";
            let _ = swift.try_send(&if put { request.body(format!("{step}")) } else { request });
        }
        let mut seen: Vec<String> =
            swift.fake.events().iter().map(|event| format!("{:?}", event.fault)).collect();
        seen.sort();
        seen.dedup();
        assert!(seen.len() + 2 >= kinds, "only {} of {kinds} kinds: {seen:?}", seen.len());
        swift.fake.clear_faults();
        swift.fake.settle();
        swift.fake.heal_listings();
        assert_eq!(swift.list(""), swift.fake.objects("c"));
        for name in swift.fake.objects("c") {
            assert_eq!(swift.get(&name).expect(200).body, swift.fake.peek("c", &name).unwrap().content);
        }
    }
}
