//! Uploads on Swift without large objects of its own, in chunked requests without a length, through instances that are
//! killed: another instance goes on, little is sent twice, and nothing is left over.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use wharfinger_test_support::{
    Api, Digest, Mark, Pipeline, RedisServer, Registry, Request, Response, Rng, SwiftCluster, bytes, pause,
    run_tool, wharfinger_binary,
};

/// Uploads of one run.
const UPLOADS: usize = 20;
/// Bytes of one upload.
const SIZE: usize = 500_000_000;
/// Bytes of a segment: what is durable grows by so much at a time.
const SEGMENT: usize = 8 << 20;
/// Requests that bring an upload, as long as nothing happens.
const PARTS: usize = 3;
/// Bytes that a client got rid of and that no segment has yet: in the buffers of its socket and the server's (by
/// Linux's defaults up to 4 and 6 MiB), and on the way to Swift.
const IN_FLIGHT: usize = 12 << 20;

/// Two instances on one container; the one that is killed comes back later.
struct Site {
    instances: [Registry; 2],
    /// What the configuration names as their cache; flushed at each kill.
    redis: RedisServer,
    kills: usize,
}

impl Site {
    fn api(&self, instance: usize) -> Api {
        self.instances[instance].api()
    }
}

/// An upload under way, as its client sees it.
struct Upload {
    content: Vec<u8>,
    session: String,
    /// What some instance said it has.
    acknowledged: usize,
    kills: usize,
}

impl Upload {
    /// The name of its session, without the state that follows.
    fn id(&self) -> String {
        let name = self.session.rsplit('/').next().unwrap();
        name.split('.').next().unwrap().to_owned()
    }

    /// Sends what comes up to `end` in one chunked request.
    fn send(&mut self, api: &Api, end: usize) {
        while self.acknowledged < end {
            let part = &self.content[self.acknowledged..end];
            let answer = api.send(Request::new("PATCH", &self.session).body(part).chunked());
            if answer.status == 416 {
                // A last request of the instance that was killed has reached Swift only after we had asked.
                self.goes_on_at(&answer);
                continue;
            }
            self.goes_on_at(&answer.expect(202));
            assert_eq!(self.acknowledged, end);
        }
    }

    /// Takes over what an instance says of the session.
    fn goes_on_at(&mut self, answer: &Response) {
        let last: usize = answer.required("range").strip_prefix("0-").unwrap().parse().unwrap();
        let durable = if last == 0 { 0 } else { last + 1 };
        // What was acknowledged is kept.
        assert!(durable >= self.acknowledged, "{} were acknowledged, {durable} are left", self.acknowledged);
        (self.acknowledged, self.session) = (durable, answer.location());
    }

    /// Sends up to `at` and kills the instance; then asks the other one how far it is.
    fn send_until_killed(&mut self, site: &mut Site, instance: usize, at: usize, linger: Duration) {
        let api = site.api(instance);
        let mut connection = api.client().connect().unwrap();
        let head = Request { chunked: true, body: Some(Vec::new()), ..Request::new("PATCH", &self.session) };
        connection.write_head(&head).unwrap();
        for piece in self.content[self.acknowledged..at].chunks(64 * 1024) {
            let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
            chunk.extend_from_slice(piece);
            chunk.extend_from_slice(b"\r\n");
            connection.write_bytes(&chunk).unwrap();
        }
        pause(linger);
        site.instances[instance].kill();
        site.redis.flush();
        site.kills += 1;
        self.kills += 1;
        drop(connection);
        self.goes_on_at(&site.api(1 - instance).get(&self.session).expect(204));
        // Of what was not acknowledged no more is lost than one segment, whose bytes may all have been sent but not yet
        // its record, and what was in flight.
        let durable = self.acknowledged;
        assert!(durable <= at, "{durable} bytes of {at} that were sent");
        assert!(durable + SEGMENT + IN_FLIGHT >= at, "{at} bytes were sent, only {durable} are left");
    }

    /// Sends the rest, in the parts that were meant, each killed at a point of `kills` if there is one in it.
    fn bring(&mut self, site: &mut Site, mut instance: usize, kills: &[(usize, Duration)]) -> usize {
        let mut kills = kills.iter().copied().peekable();
        let size = self.content.len();
        for end in (1..=PARTS).map(|part| size / PARTS * part + size % PARTS * part / PARTS) {
            while let Some((at, linger)) = kills.next_if(|(at, _)| *at < end) {
                self.send_until_killed(site, instance, at.max(self.acknowledged), linger);
                instance = 1 - instance;
                site.instances[1 - instance].start_again();
            }
            if end > self.acknowledged {
                self.send(&site.api(instance), end);
            }
        }
        instance
    }
}

fn site(swift: &SwiftCluster, container: &str) -> Site {
    let redis = RedisServer::start();
    let start = || {
        let builder = Registry::builder().swift(swift, container).redis(&redis.address());
        builder.set("storage.swift.segmentsize", SEGMENT).allow_log("redis.writetimeout").start()
    };
    Site { instances: [start(), start()], redis, kills: 0 }
}

/// One or two points at which the instance is killed: so many bytes after the start, and a moment later.
fn kill_points(rng: &mut Rng) -> Vec<(usize, Duration)> {
    let count = 1 + rng.below(2);
    let point = |rng: &mut Rng| {
        (rng.below(SIZE as u64) as usize, Duration::from_millis(rng.below(2) * rng.below(120)))
    };
    let mut points: Vec<_> = (0..count).map(|_| point(rng)).collect();
    points.sort();
    points
}

/// What Swift took in whole segments since then, by session.
fn stored_by_session(swift: &SwiftCluster, mark: Mark) -> BTreeMap<String, u64> {
    let mut stored = BTreeMap::new();
    for request in swift.since(mark).iter().filter(|request| request.method == "PUT" && request.status == 201)
    {
        if let Some((_, rest)) = request.path.split_once("/segments/wharfinger/v1/uploads/") {
            let id = rest.split('/').next().unwrap().to_owned();
            *stored.entry(id).or_insert(0) += request.received;
        }
    }
    stored
}

/// Names that a listing shows and that are there: a listing may lag.
fn present<'a>(
    swift: &SwiftCluster,
    container: &str,
    names: impl Iterator<Item = &'a String>,
) -> Vec<&'a String> {
    names.filter(|name| swift.head(container, name).status != 404).collect()
}

/// No session is left, and no segment but those that the blobs consist of.
fn assert_nothing_is_left(swift: &SwiftCluster, container: &str, blobs: &[(Digest, usize)]) {
    let names = swift.list(container);
    let sessions = names.iter().filter(|name| name.starts_with("files/wharfinger/v1/uploads/"));
    let sessions = present(swift, container, sessions);
    assert!(sessions.is_empty(), "sessions are left: {sessions:?}");
    let mut used = BTreeSet::new();
    for (digest, size) in blobs {
        let hex = digest.hex();
        let data = format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
        let head = swift.head(container, &format!("files/{data}")).expect(200);
        let manifest = head.required("x-object-manifest").to_owned();
        assert_eq!(head.required("content-length"), size.to_string());
        let list = swift.get(container, &format!("files/wharfinger/v1/segments/{data}")).expect(200).json();
        for segment in list["list"].as_array().unwrap() {
            let name = segment["name"].as_str().unwrap();
            assert!(format!("{container}/{name}").starts_with(&manifest), "{name} is not below {manifest}");
            used.insert(name.to_owned());
        }
    }
    let others = names.iter().filter(|name| name.starts_with("segments/") && !used.contains(*name));
    let orphans = present(swift, container, others);
    assert!(orphans.is_empty(), "segments of nothing are left: {orphans:?}");
}

#[test]
fn an_upload_goes_on_at_another_instance_after_a_kill_and_leaves_nothing_over() {
    let mut rng = Rng::from_environment("an_upload_goes_on_at_another_instance_after_a_kill");
    let swift = SwiftCluster::shared(Pipeline::Wikimedia);
    let container = swift.fresh_container();
    let mut site = site(swift, &container);
    let mut blobs = Vec::new();
    let mark = swift.mark();
    let mut sessions = Vec::new();
    for number in 0..UPLOADS {
        let seed = rng.number();
        let (first, points) = (number % 2, kill_points(&mut rng));
        println!("upload {number}: first instance {first}, killed at {points:?}");
        let content = bytes(seed, SIZE);
        let digest = Digest::sha256(&content);
        let session = site.api(first).start_upload("killed");
        let mut upload = Upload { content, session, acknowledged: 0, kills: 0 };
        if number % 5 == 4 {
            // Nobody comes back for this one.
            let (at, linger) = points[0];
            upload.send_until_killed(&mut site, first, at, linger);
            site.instances[first].start_again();
            continue;
        }
        let last = upload.bring(&mut site, first, &points);
        site.api(last).finish(&upload.session, &digest.to_string(), b"").expect(201);
        for instance in 0..2 {
            assert!(site.api(instance).pull_blob("killed", &digest) == upload.content, "through {instance}");
        }
        sessions.push((upload.id(), upload.kills as u64));
        blobs.push((digest, SIZE));
    }
    let stored = stored_by_session(swift, mark);
    for (id, kills) in &sessions {
        let twice = stored[id] - SIZE as u64;
        assert!(
            twice <= kills * SEGMENT as u64,
            "{twice} bytes of {id} were stored twice, with {kills} kills"
        );
    }
    let config = site.instances[0].directory().join("config.yml");
    let mut purge = Command::new(wharfinger_binary());
    let printed = run_tool(purge.args(["uploads", "purge"]).arg(config).args(["--older-than", "0s"]));
    println!("{} kills; {printed}", site.kills);
    assert_nothing_is_left(swift, &container, &blobs);
    for (digest, _) in &blobs {
        site.api(0).pull_blob("killed", digest);
    }
}
