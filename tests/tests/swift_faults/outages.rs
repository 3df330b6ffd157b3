//! Servers of Swift that stop, hang and come back.

use std::thread;
use std::time::{Duration, Instant};

use wharfinger_test_support::{
    Api, Blob, Connection, Image, Registry, Request, Response, Server, SwiftCluster, bytes, wait_until,
};

use super::{SEGMENT, alarms, builder, disturbed, finish_from_offset, patch_slowly};

/// The longest that a client waits for its 503.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same for a push that was under way: until nothing has moved for ten seconds, by ours or the proxy's clock.
const MID_PUSH: Duration = Duration::from_secs(15);
/// The longest until the registry is well after Swift is.
const RECOVERY: Duration = Duration::from_secs(5);

/// Something that Swift has.
const LINK: &str = "files/docker/registry/v2/repositories/outage/_manifests/tags/v1/current/link";

/// Sends a request that has to be refused with a 503 that asks to come again, in time.
fn refused(api: &Api, request: Request) {
    let what = format!("{} {}", request.method, request.target);
    let started = Instant::now();
    let answer = api.try_send(request).unwrap_or_else(|error| panic!("{what}: {error}"));
    let took = started.elapsed();
    assert_eq!(answer.status, 503, "{what}: {answer:?}");
    assert!(took < PATIENCE, "{what}: the 503 took {took:?}");
    assert!(answer.required("retry-after").parse::<u32>().is_ok(), "{what}: {answer:?}");
    if !answer.body.is_empty() {
        assert_eq!(answer.error_code(), "UNAVAILABLE", "{what}");
    }
}

/// What clients had before an outage, and what they try in it.
struct Client {
    api: Api,
    before: Image,
    large: Blob,
    /// A session that was begun before.
    session: String,
}

impl Client {
    fn new(registry: &Registry, seed: u64) -> Client {
        let api = registry.api();
        let before = Image::small(seed);
        api.push_image("outage", "v1", &before);
        let large = Blob::seeded(seed + 1, 5 * SEGMENT + 5);
        api.push_blob("outage", &large.bytes());
        let session = api.start_upload("outage");
        Client { api, before, large, session }
    }

    /// Everything at once: an outage is not a time of waiting for one another.
    fn is_refused_everywhere(&self) {
        let blob = format!("/v2/outage/blobs/{}", self.large.digest);
        let small = format!("/v2/outage/blobs/{}", self.before.layers[0].digest);
        let mut moved = Image::small(77).manifest;
        moved.push(b'\n');
        let manifest = |tag: &str| {
            let target = format!("/v2/outage/manifests/{tag}");
            Request::new("PUT", &target).header("Content-Type", self.before.media_type)
        };
        let requests = [
            Request::new("GET", "/v2/outage/manifests/v1"),
            Request::new("HEAD", "/v2/outage/manifests/v1"),
            Request::new("GET", &format!("/v2/outage/manifests/{}", self.before.digest)),
            Request::new("GET", &blob),
            Request::new("GET", &blob).header("Range", "bytes=100-3000000"),
            Request::new("HEAD", &blob),
            Request::new("GET", &small),
            Request::new("HEAD", &small),
            Request::new("POST", "/v2/outage/blobs/uploads/").body(""),
            Request::new("POST", "/v2/fresh/blobs/uploads/").body(""),
            Request::new("PATCH", &self.session).body(bytes(5, 3 * SEGMENT)).chunked(),
            manifest("v2").body(self.before.manifest.clone()),
            manifest("v1").body(moved),
        ];
        thread::scope(|scope| {
            for request in requests {
                scope.spawn(|| refused(&self.api, request));
            }
        });
    }

    /// The old is there as it was, and nothing of what was tried.
    fn finds_only_what_was_acknowledged(&self) {
        let api = &self.api;
        assert_eq!(api.pull("outage", "v1").digest, self.before.digest);
        // That it could not be read does not mean that it is damaged.
        api.head(&format!("/v2/outage/blobs/{}", self.large.digest)).expect(200);
        assert!(api.pull_blob("outage", &self.large.digest) == self.large.bytes());
        assert_eq!(api.tags("outage"), ["v1"]);
        assert_eq!(api.catalog(), ["outage"]);
        api.get("/v2/outage/manifests/v2").expect_error(404, "MANIFEST_UNKNOWN");
    }
}

/// A pull that has begun when the outage does.
struct Pull(Connection);

impl Pull {
    fn begin(client: &Client) -> Pull {
        let mut connection = client.api.client().connect().unwrap();
        connection.write(&Request::new("GET", &format!("/v2/outage/blobs/{}", client.large.digest))).unwrap();
        assert_eq!(connection.read_head().unwrap().status, 200);
        Pull(connection)
    }

    /// Either all bytes come, or the connection is broken; what came is right. Returns how much that is.
    fn ends_honestly(mut self, client: &Client) -> usize {
        let content = client.large.bytes();
        let come = self.0.read_some(content.len()).expect("an end without a time-out");
        assert!(content.starts_with(&come));
        come.len()
    }
}

fn store_health(registry: &Registry) -> Response {
    registry.api().get("/health/store")
}

/// Stops or hangs the object server under a registry, looks, and lets it come back.
fn outage(swift: &SwiftCluster, seed: u64, begin: impl Fn(), end: impl Fn()) {
    let container = swift.fresh_container();
    let mut registry = builder(swift, &container).start();
    for expected in [
        "a storage call failed",
        "the request failed",
        "the store fails its probe",
        "an upload that broke off could not be kept",
        "the answer was broken off",
    ] {
        registry.allow_log(expected);
    }
    wait_until("the first probe", PATIENCE, || store_health(&registry).status == 200);
    let (client, api) = (Client::new(&registry, seed), registry.api());
    let (before, begun) = (registry.log().len(), Instant::now());
    let pull = Pull::begin(&client);
    let first_segment = format!("0-{}", SEGMENT - 1);
    let pushed = bytes(seed + 2, 3 * SEGMENT);
    let push = api.start_upload("outage");
    let answer = patch_slowly(&api, &push, &pushed, SEGMENT / 4, |number| {
        if number == 5 {
            wait_until("the first segment to be durable", Duration::from_secs(30), || {
                api.get(&push).expect(204).required("range") == first_segment
            });
            begin();
        }
    });
    let answer = answer.expect("an answer, whatever happens to Swift").expect_error(503, "UNAVAILABLE");
    assert!(
        answer.header("retry-after").is_some() && begun.elapsed() < MID_PUSH,
        "after {:?}",
        begun.elapsed()
    );
    let pull = thread::scope(|scope| {
        let pull = scope.spawn(|| pull.ends_honestly(&client));
        client.is_refused_everywhere();
        pull.join().unwrap()
    });
    println!("a pull that was under way came to {pull} of {} bytes", client.large.size);
    wait_until("the probe to fail", Duration::from_secs(10), || store_health(&registry).status == 503);
    assert_eq!(store_health(&registry).json()["status"], "failing");
    registry.api().get("/health/ready").expect(200);
    registry.api().get("/health/live").expect(200);
    client.is_refused_everywhere();
    let lines: Vec<String> = alarms(&registry.log()[before..]).iter().map(|line| line.text.clone()).collect();
    // In ten seconds one of the requests, one of the calls to Swift; one of the probe, and one of the broken pull.
    let most = 2 + 2 * (1 + begun.elapsed().as_secs() / 10);
    assert!(
        (2..=most).contains(&(lines.len() as u64)),
        "{} lines, {most} are enough: {lines:#?}",
        lines.len()
    );
    let names = |line: &String| line.contains("a storage call failed") && line.contains(&container);
    assert!(lines.iter().any(names), "no line says what of Swift failed: {lines:#?}");
    end();
    wait_until("Swift to be back", Duration::from_secs(20), || swift.head(&container, LINK).status == 200);
    wait_until("the registry to be well again", RECOVERY, || {
        client.api.get("/v2/outage/manifests/v1").status == 200 && store_health(&registry).status == 200
    });
    client.finds_only_what_was_acknowledged();
    // The first segment was durable, and is not sent again.
    let status = api.get(&push).expect(204);
    assert_eq!(status.required("range"), first_segment);
    let digest = finish_from_offset(&api, &push, &pushed);
    assert!(api.pull_blob("outage", &digest) == pushed);
    // What was refused is done by coming again.
    let target = &client.session;
    let answer =
        client.api.send(Request::new("PATCH", target).body(bytes(5, 3 * SEGMENT)).chunked()).expect(202);
    assert_eq!(answer.required("range"), format!("0-{}", 3 * SEGMENT - 1));
    let blob = Blob::seeded(5, 3 * SEGMENT);
    client.api.finish(&answer.location(), &blob.digest.to_string(), b"").expect(201);
    client.api.pull_blob("outage", &blob.digest);
    client.api.push_image("fresh", "v1", &Image::small(seed + 7));
    client.api.pull("fresh", "v1");
}

#[test]
fn an_object_server_that_is_down_costs_503s_and_nothing_else() {
    let swift = disturbed();
    outage(&swift, 100, || swift.stop_server(Server::Object(0)), || swift.start_server(Server::Object(0)));
}

#[test]
fn an_object_server_that_hangs_costs_503s_and_nothing_else() {
    let swift = disturbed();
    outage(&swift, 200, || swift.hang(Server::Object(0)), || swift.resume(Server::Object(0)));
}
