//! The real Swift under the other tests: it starts, it can be disturbed, and its log tells what reached it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use wharfinger_test_support::{Pipeline, Request, Server, SwiftCluster, bytes};

#[test]
fn each_pipeline_starts_stores_an_object_and_says_what_it_offers() {
    for (pipeline, offered) in [(Pipeline::Full, true), (Pipeline::Wikimedia, false)] {
        let swift = SwiftCluster::shared(pipeline);
        let container = swift.fresh_container();
        let body = bytes(1, 300_000);
        swift.put(&container, "a/b%20c", &body);
        assert_eq!(swift.get(&container, "a/b%20c").expect(200).body, body);
        assert_eq!(swift.list(&container), ["a/b c"]);
        assert_eq!(swift.object_files(&container, "a/b c").len(), 1);
        let info = wharfinger_test_support::Client::plain(swift.port()).send(&Request::new("GET", "/info"));
        let info = info.unwrap().expect(200).json();
        for name in ["slo", "bulk_delete"] {
            assert_eq!(info.get(name).is_some(), offered, "{name} in {info}");
        }
        assert_eq!(info["tempurl"]["methods"].as_array().unwrap().len(), if offered { 5 } else { 2 });
        swift.delete(&container, "a/b%20c").expect(204);
        assert!(swift.list(&container).is_empty());
        assert!(swift.object_files(&container, "a/b c").is_empty());
    }
}

#[test]
fn the_access_log_tells_what_clients_asked_for_and_nothing_of_ours() {
    let swift = SwiftCluster::start();
    let container = swift.fresh_container();
    let mark = swift.mark();
    swift.put(&container, "ours", b"not counted");
    assert!(swift.since(mark).is_empty());
    let client = wharfinger_test_support::Client::plain(swift.port());
    let target = format!("/v1/{}/{container}/theirs%2520x?multipart-manifest=get", swift.account());
    let request =
        Request::new("PUT", &target).header("X-Auth-Token", swift.token()).body(b"counted".as_slice());
    let answer = client.send(&request).unwrap().expect(201);
    let log = swift.since(mark);
    assert_eq!(log.len(), 1, "{log:?}");
    assert_eq!((log[0].method.as_str(), log[0].status, log[0].received), ("PUT", 201, 7));
    assert_eq!(log[0].path, target);
    assert_eq!(log[0].transaction, answer.required("x-trans-id"));
    assert!(log[0].is_write() && log[0].source.is_none());
    assert!(swift.since(swift.mark()).is_empty());
}

#[test]
fn with_three_replicas_one_object_server_may_be_down() {
    let swift = SwiftCluster::builder().replicas(3).start();
    let container = swift.fresh_container();
    let body = bytes(2, 100_000);
    swift.put(&container, "object", &body);
    assert_eq!(swift.object_files(&container, "object").len(), 3);
    for number in 0..3 {
        swift.stop_server(Server::Object(number));
        assert_eq!(swift.get(&container, "object").expect(200).body, body, "without server {number}");
        swift.put(&container, &format!("without-{number}"), &body);
        swift.start_server(Server::Object(number));
    }
}
