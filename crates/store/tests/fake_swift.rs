//! The suite of all stores on the hostile Swift of the tests, healthy, and what is particular to Swift.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use bytes::Bytes;
use wharfinger_fake_swift::{FakeSwift, Fault, Moment, Options, Pipeline};
use wharfinger_store::swift::{LargeObjects, SwiftOptions};
use wharfinger_store::{
    Area, Checkpoint, Durability, Key, ObjectData, Piece, Store, StoreErrorKind, Structure, Swift,
    conformance,
};
use wharfinger_swift::{Auth, Client, Secret};

const CONTAINER: &str = "registry";

fn fake(pipeline: Pipeline) -> FakeSwift {
    FakeSwift::start(Options { pipeline, page_limit: 7, ..Options::default() })
}

async fn store(fake: &FakeSwift, large: LargeObjects) -> Swift {
    let user = Options::default().users[0].clone();
    let auth = Auth::V1 { url: fake.auth_url(), user: user.name, key: Secret::new(&user.key) };
    let client = Client::new(wharfinger_swift::Options::new(auth)).unwrap();
    let options = SwiftOptions {
        container: CONTAINER.to_owned(),
        prefix: "site".to_owned(),
        segment_size: 1024 * 1024,
        large,
        writable: true,
        signing: None,
    };
    let store = Swift::new(client, options).unwrap();
    store.prepare().await.unwrap();
    store
}

#[tokio::test]
async fn the_suite_passes_with_static_large_objects() {
    let fake = fake(Pipeline::Full);
    conformance::run(&store(&fake, LargeObjects::Auto).await).await;
}

#[tokio::test]
async fn the_suite_passes_without_static_large_objects_and_bulk() {
    let fake = fake(Pipeline::NoSloNoBulk);
    conformance::run(&store(&fake, LargeObjects::Auto).await).await;
}

async fn staged(store: &Swift, place: &Key, parts: &[&'static [u8]]) -> Checkpoint {
    let mut staged = store.stage(place, None).await.unwrap();
    let mut checkpoint = Checkpoint::default();
    for part in parts {
        staged.write(Bytes::from_static(part)).await.unwrap();
        checkpoint = staged.checkpoint().await.unwrap();
    }
    checkpoint
}

fn segments(fake: &FakeSwift) -> Vec<String> {
    fake.objects(CONTAINER).into_iter().filter(|name| name.starts_with("site/segments/")).collect()
}

#[tokio::test]
async fn what_was_published_survives_the_discard_of_its_session() {
    for pipeline in [Pipeline::Full, Pipeline::NoSloNoBulk] {
        let fake = fake(pipeline);
        let store = store(&fake, LargeObjects::Auto).await;
        let (place, target) = (Key::new("ours/uploads/1/data"), Key::new("blobs/1"));
        let checkpoint = staged(&store, &place, &[b"first ", b"second"]).await;
        store.stage(&place, Some(&checkpoint)).await.unwrap().publish(&target).await.unwrap();
        store.discard(&place, &checkpoint, Some(&target)).await.unwrap();
        assert_eq!(store.get(&target, 99).await.unwrap(), "first second", "{pipeline:?}");
        store.delete(&target, wharfinger_store::Delete::default()).await.unwrap();
        store.discard(&place, &checkpoint, Some(&target)).await.unwrap();
        assert_eq!(segments(&fake), Vec::<String>::new(), "{pipeline:?}");
    }
}

#[tokio::test]
async fn a_segment_behind_the_last_record_is_found_by_its_name() {
    let fake = fake(Pipeline::Full);
    let store = store(&fake, LargeObjects::Auto).await;
    let place = Key::new("ours/uploads/2/data");
    staged(&store, &place, &[b"recorded", b"not recorded"]).await;
    let known = Checkpoint { length: 8, parts: Vec::new() };
    for name in segments(&fake) {
        fake.hide_row(CONTAINER, &name);
    }
    store.discard(&place, &known, None).await.unwrap();
    assert_eq!(segments(&fake), Vec::<String>::new());
}

#[tokio::test]
async fn a_large_object_without_one_of_its_segments_fails_its_check_and_its_read() {
    for pipeline in [Pipeline::Full, Pipeline::NoSloNoBulk] {
        let fake = fake(pipeline);
        let store = store(&fake, LargeObjects::Auto).await;
        let (place, target) = (Key::new("ours/uploads/3/data"), Key::new("blobs/3"));
        let checkpoint = staged(&store, &place, &[b"aaaa", b"bbbb", b"cccc"]).await;
        store.stage(&place, Some(&checkpoint)).await.unwrap().publish(&target).await.unwrap();
        assert_eq!(store.check(&target).await.unwrap().size, 12);
        let gone = segments(&fake)[1].clone();
        fake.remove(CONTAINER, &gone);
        let error = store.check(&target).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(&gone), "{error} does not name {gone}");
        let read = store.get(&target, 99).await;
        assert!(read.is_err(), "{pipeline:?}: {read:?}");
    }
}

#[tokio::test]
async fn a_dynamic_object_of_another_writer_is_read_by_the_names_of_its_segments() {
    let fake = fake(Pipeline::NoSloNoBulk);
    let store = store(&fake, LargeObjects::Auto).await;
    let target = Key::new("blobs/4");
    let auth_container = {
        let user = Options::default().users[0].clone();
        let auth = Auth::V1 { url: fake.auth_url(), user: user.name, key: Secret::new(&user.key) };
        Client::new(wharfinger_swift::Options::new(auth)).unwrap().container(CONTAINER).unwrap()
    };
    let put = wharfinger_swift::Put::default();
    let prefix = "site/segments/2f6/46f6";
    for (number, content) in [(1, "one "), (2, "two "), (3, "three")] {
        let name = format!("{prefix}/{number:016}");
        auth_container.put(&name, Bytes::from(content), &put).await.unwrap();
    }
    auth_container.put_dlo("site/files/blobs/4", CONTAINER, prefix, &put).await.unwrap();
    // The listing lacks the last and one in the middle.
    fake.hide_row(CONTAINER, &format!("{prefix}/{:016}", 2));
    fake.hide_row(CONTAINER, &format!("{prefix}/{:016}", 3));
    let object = store.open(&target).await.unwrap();
    assert_eq!(object.size, 13);
    assert_eq!(conformance::read_all(&store, &target).await, b"one two three");
    fake.remove(CONTAINER, &format!("{prefix}/{:016}", 2));
    let error = store.open(&target).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Invalid, "{error}");
}

#[tokio::test]
async fn pages_come_in_the_order_of_names_though_swift_sorts_otherwise() {
    let fake = fake(Pipeline::Full);
    let store = store(&fake, LargeObjects::Auto).await;
    let prefix = Key::new("tags");
    let mut names: Vec<String> = (0..40).map(|n| format!("2024-01-{n:02}-rc.1")).collect();
    names.extend(["2024", "2024-01", "2024-01-07-rc", "1.0", "1.0-a", "1.0.1", "latest"].map(str::to_owned));
    names.sort();
    for name in &names {
        for leaf in ["current/link", "index/sha256/aa/link", "index/sha256/bb/link"] {
            store.put(&prefix.join(name).join(leaf), Bytes::new(), Durability::Synced).await.unwrap();
        }
    }
    store.put(&prefix.join("1.5-half/index/sha256/aa/link"), Bytes::new(), Durability::Synced).await.unwrap();
    for limit in [1, 2, 3, 5, 11, 100] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let options = wharfinger_store::List { shallow: true, after: after.clone(), limit };
            let page = store.list_holding(&prefix, "current/link", options).await.unwrap();
            seen.extend(page.entries.iter().map(|entry| entry.name().to_owned()));
            if !page.more {
                break;
            }
            assert!(!page.entries.is_empty(), "a page without progress");
            after = seen.last().cloned();
        }
        assert_eq!(seen, names, "pages of {limit}");
    }
}

#[tokio::test]
async fn the_inventory_shows_each_name_of_the_container_once_in_its_area() {
    let fake = fake(Pipeline::NoSloNoBulk);
    let store = store(&fake, LargeObjects::Auto).await;
    let (place, target) = (Key::new("ours/uploads/3/data"), Key::new("blobs/3"));
    let checkpoint = staged(&store, &place, &[b"first ", b"second"]).await;
    store.stage(&place, Some(&checkpoint)).await.unwrap().publish(&target).await.unwrap();
    for number in 0..20 {
        let key = Key::new(format!("many/{number:02}"));
        store.put(&key, Bytes::from_static(b"x"), Durability::Synced).await.unwrap();
    }
    let foreign =
        ["a", "site/file", "site/files-x", "site/filesystem", "site/segment", "site/zzz", "z/files/x"];
    for name in foreign {
        let put = wharfinger_swift::Put::default();
        store.container().put(name, Bytes::from_static(b"?"), &put).await.unwrap();
    }
    let objects = conformance::inventory(&store, Area::Objects).await;
    let sizes: Vec<u64> =
        objects.iter().filter(|(name, _)| name.starts_with("many/")).map(|row| row.1).collect();
    assert_eq!(sizes, [1; 20]);
    assert!(objects.contains(&("blobs/3".to_owned(), 0)), "a dynamic large object has no bytes of its own");
    assert_eq!(objects.len(), 22, "with the list of its segments: {objects:?}");
    let segments = conformance::inventory(&store, Area::Segments).await;
    let first = "site/segments/ours/uploads/3/data/0000000000000001".to_owned();
    let second = "site/segments/ours/uploads/3/data/0000000000000002".to_owned();
    assert_eq!(segments, [(first.clone(), 6), (second, 6)]);
    let others = conformance::inventory(&store, Area::Others).await;
    assert_eq!(others.iter().map(|row| row.0.as_str()).collect::<Vec<_>>(), foreign);
    let Structure::Dynamic { container, prefix, recorded } = store.inspect(&target).await.unwrap() else {
        panic!("not dynamic");
    };
    assert_eq!((container.as_str(), prefix.as_str()), (CONTAINER, "site/segments/ours/uploads/3/data"));
    assert_eq!(recorded.unwrap()[0], Piece { name: first, size: 6 });
}

#[tokio::test]
async fn an_object_that_was_replaced_since_it_was_opened_is_read_as_it_stands() {
    let fake = fake(Pipeline::Full);
    let store = store(&fake, LargeObjects::Auto).await;
    let (place, target) = (Key::new("ours/uploads/6/data"), Key::new("blobs/6"));
    let checkpoint = staged(&store, &place, &[b"first ", b"second"]).await;
    store.stage(&place, Some(&checkpoint)).await.unwrap().publish(&target).await.unwrap();
    let ObjectData::Remote(opened) = store.open(&target).await.unwrap().data else { panic!("not remote") };
    store.put(&target, Bytes::from_static(b"first second"), Durability::Synced).await.unwrap();
    let mut reader = opened.read(6..12).await.unwrap();
    assert_eq!(reader.next().await.unwrap().unwrap(), "second");
    store.put(&target, Bytes::from_static(b"short"), Durability::Synced).await.unwrap();
    let error = opened.read(6..12).await.err().unwrap();
    assert_eq!(error.kind, StoreErrorKind::Invalid, "{error}");
}

#[tokio::test]
async fn a_conflict_over_segments_that_are_in_their_places_is_no_damage() {
    let fake = fake(Pipeline::Full);
    let store = store(&fake, LargeObjects::Auto).await;
    let (place, key) = (Key::new("ours/uploads/9/data"), Key::new("blobs/9"));
    let checkpoint = staged(&store, &place, &[b"abc", b"def"]).await;
    store.stage(&place, Some(&checkpoint)).await.unwrap().publish(&key).await.unwrap();
    let ObjectData::Remote(object) = store.open(&key).await.unwrap().data else { panic!("not remote") };
    // What Swift answers also for a segment whose server is away.
    let conflict = Fault::Refuse { status: 409, retry_after: None, moment: Moment::BeforeBody };
    fake.inject_once(conflict);
    let Err(error) = object.read(0..6).await else { panic!("the conflict was not seen") };
    assert_eq!(error.kind, StoreErrorKind::Unavailable, "{error}");
    // With a segment gone it is.
    let segment =
        fake.objects(CONTAINER).into_iter().find(|name| name.ends_with("/0000000000000002")).unwrap();
    fake.remove(CONTAINER, &segment);
    fake.inject_once(conflict);
    let Err(error) = object.read(0..6).await else { panic!("the conflict was not seen") };
    assert_eq!(error.kind, StoreErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains(&segment), "{error}");
}
