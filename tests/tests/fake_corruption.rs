//! The corruption matrix on a Swift that is hostile besides: listings lag, replicas lag, requests fail now and then, and
//! somebody pushes and deletes meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use wharfinger_fake_swift::{Delay, Fault, Kind, Moment, Options, Pipeline, Rule};
use wharfinger_test_support::{
    Api, BrokenRecords, Digest, FakeContainer, Ground, Harm, Image, LargeObjects, Matrix, Registry, Request,
    Rng, Tree, blob_key, bytes, named, pause,
};

const HARMS: [Harm; 8] = [
    Harm::Missing,
    Harm::Empty,
    Harm::Truncated,
    Harm::Flipped,
    Harm::Swapped,
    Harm::Unreadable,
    Harm::Unlisted,
    Harm::Vanished,
];

const CONTAINER: &str = "registry";
const SEGMENT: usize = 5 << 20;
/// Where the bytes were deleted too.
const COLLECTED: &str = "beside/collected";
/// Repositories that were deleted, and whose rows stay.
const DELETED: [&str; 2] = ["beside/deleted", COLLECTED];
/// A repository that is at work.
const BUSY: &str = "beside/busy";

fn place(pipeline: Pipeline) -> FakeContainer {
    let seed = Rng::from_environment("the faults of the fake").number();
    FakeContainer::start(Options { seed, pipeline, ..Options::default() })
}

fn registry(place: &FakeContainer) -> Registry {
    let builder = Registry::builder().fake_swift(place).set("storage.swift.segmentsize", SEGMENT);
    // A scrub would find the harm first.
    builder.set("scrub.enabled", false).allow_harm().start()
}

/// How long a replica is behind.
const STALE: Duration = Duration::from_millis(300);

/// From here on rows are late, replicas are behind, and a request in two hundred is refused.
fn disturb(place: &FakeContainer) {
    let fake = place.fake();
    let refuse = Fault::Refuse { status: 503, retry_after: None, moment: Moment::BeforeBody };
    fake.inject(Rule::new(Fault::RowLate(Delay::Time(Duration::from_secs(2)))));
    fake.inject(Rule::new(Fault::Stale { within: Delay::Time(STALE) }).chance(0.3));
    fake.inject(Rule::new(refuse).chance(0.005));
}

/// Two images that were pushed and deleted again, one of them with its bytes, and that listings go on to show.
fn delete_behind_listings(place: &FakeContainer, api: &Api) {
    for (seed, name) in (990..).zip(DELETED) {
        let image = Image::small(seed);
        api.push_image(name, "v1", &image);
        place.fake().inject(Rule::new(Fault::RowLost).on(&[Kind::Delete]));
        let blobs: Vec<Digest> = image.blobs().map(|blob| blob.digest).collect();
        api.delete(&format!("/v2/{name}/manifests/{}", image.digest)).expect(202);
        for blob in &blobs {
            api.delete(&format!("/v2/{name}/blobs/{blob}")).expect(202);
        }
        if name == COLLECTED {
            blobs.iter().chain([&image.digest]).for_each(|blob| Ground::Fake(place).remove(&blob_key(blob)));
        }
        place.fake().clear_faults();
        let (shown, there) = (place.fake().listed(CONTAINER), place.fake().objects(CONTAINER));
        let gone = shown.iter().filter(|row| row.contains(name) && !there.contains(row));
        assert!(gone.count() >= 4, "tag, revision, layer and config are deleted and listed");
    }
}

/// Images that come and go in [`BUSY`].
fn busy_images() -> Vec<Image> {
    (0..5).map(|number| Image::small(9_000 + number)).collect()
}

/// Pushes, moves and deletes until it is over; answers how many pushes went well.
fn be_busy(api: &Api, over: &AtomicBool) -> usize {
    let (images, mut dice, mut pushes) = (busy_images(), Rng::new(7), 0);
    let send = |request: Request| api.try_send(request).map_or(0, |answer| answer.status);
    while !over.load(Ordering::SeqCst) {
        let image = &images[dice.below(5) as usize];
        let manifest = |reference: &str| format!("/v2/{BUSY}/manifests/{reference}");
        if dice.below(3) < 2 {
            for blob in image.blobs() {
                let target = format!("/v2/{BUSY}/blobs/uploads/?digest={}", blob.digest);
                send(Request::new("POST", &target).body(blob.bytes()));
            }
            let put = Request::new("PUT", &manifest(&format!("v{}", dice.below(3))));
            let put = put.header("Content-Type", image.media_type).body(image.manifest.clone());
            pushes += usize::from(send(put) == 201);
        } else {
            send(Request::new("DELETE", &manifest(&image.digest.to_string())));
        }
        pause(Duration::from_millis(20));
    }
    pushes
}

/// Does the work while somebody else is busy.
fn amid_others(api: &Api, work: impl FnOnce()) {
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let busy = scope.spawn(|| be_busy(api, &over));
        // Also when the work fails: the scope waits for both.
        let until = Over(&over);
        work();
        drop(until);
        assert!(busy.join().unwrap() > 0, "not one push");
    });
}

/// Everything but what is beside, and what servers and commands write of themselves.
fn tree(place: &FakeContainer) -> Tree {
    let own = ["audit", "damaged"].map(|name| format!("/wharfinger/v1/{name}"));
    let mut busy = Vec::new();
    for image in busy_images() {
        busy.extend(image.blobs().map(|blob| blob.digest).chain([image.digest]).map(|digest| digest.hex()));
    }
    Ground::Fake(place).tree().without_own().filter(|name| {
        let beside = name.contains("/beside") || busy.iter().any(|hex| name.contains(hex.as_str()));
        !beside && !own.iter().any(|prefix| name.starts_with(prefix))
    })
}

/// A report without what is beside, of which nothing but notes may be told.
#[track_caller]
fn within(mut report: Value) -> Value {
    let findings = report["findings"].as_array().unwrap();
    for (kind, count) in report["notes"].as_object().unwrap() {
        let told = findings.iter().filter(|finding| finding["kind"] == **kind).count();
        assert_eq!(json!(told), *count, "{kind}: {report:#}");
    }
    report["findings"].as_array_mut().unwrap().retain(|finding| {
        let beside = finding["repository"].as_str().is_some_and(|name| name.starts_with("beside/"));
        let of_note = finding["kind"] == "link-lost" || finding["kind"] == "link-dangling";
        assert!(!beside || of_note, "{finding:#}");
        !beside
    });
    report
}

/// Repairs that did not come to a good end.
fn unmended(healed: &Value) -> Vec<&Value> {
    let done = healed["done"].as_array().unwrap().iter();
    done.filter(|done| !["mended", "mended-before"].contains(&done["outcome"].as_str().unwrap())).collect()
}

/// Each kind of harm at once, in a registry that remembers nothing.
struct Site {
    backup: Registry,
    registry: Registry,
    matrix: Matrix,
    well: Tree,
    harmed: Tree,
    // Dropped last: a registry that ends still has something to delete.
    place: FakeContainer,
}

impl Site {
    fn harmed() -> Site {
        let place = place(Pipeline::Full);
        let (backup, mut registry) = (Registry::start(), registry(&place));
        let matrix = Matrix::push(&registry.api(), &backup.api(), &HARMS, true);
        delete_behind_listings(&place, &registry.api());
        let well = tree(&place);
        disturb(&place);
        matrix.harm(Ground::Fake(&place));
        registry.stop();
        registry.start_again();
        // A replica that has not heard of the harm has what was well.
        pause(STALE);
        let harmed = tree(&place);
        Site { backup, registry, matrix, well, harmed, place }
    }

    fn backup(&self) -> [&str; 2] {
        ["--backup", self.backup.root().to_str().unwrap()]
    }
}

#[test]
fn each_kind_of_harm_is_told_amid_faults_and_who_looks_changes_nothing() {
    let site = Site::harmed();
    let (operator, matrix, api) = (site.registry.operator(), &site.matrix, site.registry.api());
    let dry_run = [&["heal", "--dry-run", "--deep"], &site.backup()[..]].concat();
    amid_others(&api, || {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (code, report) = operator.json(&["fsck", "--deep"]);
                matrix.assert_told(&within(report));
                assert_eq!(code, 1);
            });
            scope.spawn(|| {
                let (code, plan) = operator.json(&dry_run);
                assert_eq!((code, plan["dry_run"].as_bool()), (1, Some(true)));
                matrix.assert_told(&within(plan));
            });
            scope.spawn(|| matrix.assert_impact(&operator));
            scope.spawn(|| matrix.assert_diagnosed(&operator));
        });
    });
    assert_eq!(site.harmed.changed(&tree(&site.place)), BTreeSet::new(), "who only looks changes nothing");
    amid_others(&api, || matrix.assert_pulled(&api));
}

#[test]
fn each_kind_of_harm_is_mended_amid_faults_and_nothing_else_changes() {
    let site = Site::harmed();
    let (operator, matrix, api) = (site.registry.operator(), &site.matrix, site.registry.api());
    let heal = [&["heal", "--deep", "--relink"], &site.backup()[..]].concat();
    amid_others(&api, || {
        let (code, healed) = operator.json(&heal);
        assert_eq!(unmended(&healed), Vec::<&Value>::new());
        assert_eq!(code, 2, "what cannot be read is all that is left");
        matrix.assert_told(&within(healed));
    });
    let mended = tree(&site.place);
    assert_eq!(site.well.changed(&mended), matrix.lasting(&site.well, &site.harmed, true));
    amid_others(&api, || {
        let (code, healed) = operator.json(&heal);
        assert_eq!((code, &healed["done"]), (2, &json!([])), "a second run finds nothing to do: {healed:#}");
        matrix.assert_left(&within(healed), true);
    });
    assert_eq!(mended.changed(&tree(&site.place)), BTreeSet::new(), "a second run changes nothing");
    matrix.assert_mended(&api);

    site.place.fake().clear_faults();
    let (code, report) = operator.json(&["fsck", "--deep"]);
    assert_eq!(code, 0, "nothing is wrong with what could not be read: {report:#}");
}

fn large_objects_are_told_and_mended(pipeline: Pipeline) {
    let place = place(pipeline);
    let (backup, registry) = (Registry::start(), registry(&place));
    let (operator, api, ground) = (registry.operator(), registry.api(), Ground::Fake(&place));
    let large = LargeObjects::push(&api, &backup.api(), SEGMENT);
    let upload = unlisted_upload(&place, &api);
    let well = tree(&place);
    disturb(&place);
    let segments = large.harm(ground);
    pause(STALE);
    let from = ["--backup", backup.root().to_str().unwrap()];
    assert_large_told(&place, &registry, &large, &segments, &from);

    let (code, healed) = operator.json(&[&["heal", "--deep"], &from[..]].concat());
    assert_eq!((code, unmended(&healed)), (0, Vec::new()));
    let mut changed = well.changed(&tree(&place));
    // The list that one of them lacks is written by whoever reads it whole.
    changed.retain(|name| !name.starts_with("/wharfinger/v1/segments/"));
    assert_eq!(changed, BTreeSet::new(), "everything is as it was");
    let (code, report) = operator.json(&["fsck", "--deep"]);
    assert_eq!(code, 0, "{report:#}");
    large.assert_mended(&report, &api, ground);
    let orphans = report["orphans"].as_array().unwrap();
    let known = orphans.iter().all(|orphan| orphan["upload"] != *upload);
    assert!(known, "the record of {upload} is there by name: {report:#}");

    large.make_a_segment_unreadable(&place);
    let (code, report) = operator.json(&["fsck", "--deep"]);
    assert_eq!(code, 2, "{report:#}");
    large.assert_unreadable(&report);
}

/// What each command says, none of which changes anything, and what a pull does.
fn assert_large_told(
    place: &FakeContainer,
    registry: &Registry,
    large: &LargeObjects,
    segments: &[(String, String)],
    from: &[&str],
) {
    let operator = registry.operator();
    let (code, report) = operator.json(&["fsck", "--deep"]);
    large.assert_told(&report);
    assert_eq!(code, 1, "{report:#}");
    // The walk has read what was rotten: it is set aside now.
    let harmed = tree(place);
    std::thread::scope(|scope| {
        scope.spawn(|| large.assert_impact(&operator, segments));
        scope.spawn(|| large.assert_diagnosed(&operator));
        let (code, plan) = operator.json(&[&["heal", "--dry-run", "--deep"], from].concat());
        large.assert_told(&plan);
        assert_eq!(code, 1);
    });
    assert_eq!(harmed.changed(&tree(place)), BTreeSet::new(), "who only looks changes nothing");
    large.assert_pulled(&registry.api());
}

/// An upload under way with a segment, whose record no listing shows; its id.
fn unlisted_upload(place: &FakeContainer, api: &Api) -> String {
    let session = api.start_upload("beside/upload");
    api.patch(&session, 0, &bytes(3, SEGMENT + 5)).expect(202);
    let names = place.fake().objects(CONTAINER);
    let record = names.iter().find(|name| name.ends_with("/session")).unwrap();
    Ground::Fake(place).unlist(record);
    record.rsplit('/').nth(1).unwrap().to_owned()
}

#[test]
fn dynamic_and_static_large_objects_are_told_and_mended_amid_faults() {
    std::thread::scope(|scope| {
        for pipeline in [Pipeline::Full, Pipeline::NoSloNoBulk] {
            scope.spawn(move || large_objects_are_told_and_mended(pipeline));
        }
    });
}

#[test]
fn records_that_cannot_be_read_are_of_note_or_unknown_amid_faults_and_hurt_nobody() {
    let place = place(Pipeline::Full);
    let (registry, ground) = (registry(&place), Ground::Fake(&place));
    let records = BrokenRecords::write(&registry, ground);
    disturb(&place);
    records.assert_of_note(&registry);
    let [vanished, unreadable] = BrokenRecords::audit();
    // Nobody deletes an entry: one that is listed and gone is as good as broken.
    ground.lose(&named(&vanished));
    records.assert_of_note(&registry);
    ground.make_unreadable(&unreadable);
    let operator = registry.operator();
    for (command, told) in [("fsck", "findings"), ("heal", "done")] {
        let (code, report) = operator.json(&[command, "--deep"]);
        let expected: &[&str] =
            if told == "done" { &[] } else { &["unreadable", "referrer-stale", "audit-broken"] };
        let kinds: Vec<&str> =
            report[told].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
        assert_eq!((code, &kinds[..]), (2, expected), "{report:#}");
    }
}
