//! The suite that every backend passes: one set of assertions, whatever stands behind the trait.

#![expect(clippy::expect_used, reason = "assertions of a test suite")]

use bytes::Bytes;

use crate::{
    Area, Delete, Durability, Entry, Inventory, Key, List, ObjectData, Remote, Store, StoreErrorKind,
    Structure,
};

/// Runs every case on an empty store.
///
/// # Panics
/// On the first assertion that does not hold.
pub async fn run(store: &dyn Store) {
    objects_are_read_as_they_were_written(store).await;
    a_new_object_replaces_nothing(store).await;
    missing_objects_are_not_found(store).await;
    a_limit_is_kept(store).await;
    deletes_are_idempotent(store).await;
    listings_are_ordered_and_paged(store).await;
    an_object_is_plain_unless_it_was_staged(store).await;
    a_listing_below_a_name_does_not_see_its_siblings(store).await;
    staged_objects_are_invisible_until_published(store).await;
    staging_goes_on_at_its_checkpoint(store).await;
    discarded_stages_are_gone(store).await;
    illegal_keys_are_refused(store).await;
}

async fn put(store: &dyn Store, key: &str, bytes: &str) {
    let bytes = Bytes::copy_from_slice(bytes.as_bytes());
    store.put(&Key::new(key), bytes, Durability::Synced).await.expect("put");
}

/// Reads an opened object whole.
pub async fn read_all(store: &dyn Store, key: &Key) -> Vec<u8> {
    let object = store.open(key).await.expect("open");
    match object.data {
        ObjectData::Bytes(bytes) => bytes.to_vec(),
        ObjectData::File(file) => {
            let length = usize::try_from(object.size).expect("fits memory");
            let mut buffer = vec![0; length];
            file.read_exact_at(&mut buffer, 0).expect("read");
            buffer
        }
        ObjectData::Remote(remote) => read_remote(&*remote, 0..object.size).await,
    }
}

/// Reads a range of an object in a store elsewhere.
async fn read_remote(remote: &dyn Remote, range: std::ops::Range<u64>) -> Vec<u8> {
    let mut all = Vec::new();
    let mut reader = remote.read(range).await.expect("read");
    while let Some(piece) = reader.next().await.expect("next piece") {
        all.extend_from_slice(&piece);
    }
    all
}

async fn objects_are_read_as_they_were_written(store: &dyn Store) {
    for content in ["", "a", "second version"] {
        put(store, "objects/a", content).await;
        let key = Key::new("objects/a");
        assert_eq!(store.get(&key, 100).await.expect("get"), content);
        assert_eq!(store.head(&key).await.expect("head").size, content.len() as u64);
        assert_eq!(read_all(store, &key).await, content.as_bytes());
    }
    let keys = [Key::new("objects/a"), Key::new("objects/b")];
    assert_eq!(store.exist(&keys).await.expect("exist"), [true, false]);
    assert_eq!(store.sizes(&keys).await.expect("sizes"), [Some("second version".len() as u64), None]);
}

async fn a_new_object_replaces_nothing(store: &dyn Store) {
    let key = Key::new("new/a");
    for (content, written) in [("first", true), ("second", false)] {
        assert_eq!(store.put_new(&key, content.into(), Durability::Synced).await.expect("put"), written);
        assert_eq!(store.get(&key, 100).await.expect("get"), "first");
    }
}

async fn missing_objects_are_not_found(store: &dyn Store) {
    for key in ["nothing", "no/such/thing", "objects/a/below-an-object"] {
        let key = Key::new(key);
        assert!(store.get(&key, 10).await.expect_err("get").is_not_found());
        assert!(store.head(&key).await.expect_err("head").is_not_found());
        assert!(store.open(&key).await.expect_err("open").is_not_found());
    }
    assert!(store.head(&Key::new("objects")).await.expect_err("a prefix is no object").is_not_found());
    assert!(store.get(&Key::new("objects"), 10).await.expect_err("a prefix is no object").is_not_found());
}

async fn an_object_is_plain_unless_it_was_staged(store: &dyn Store) {
    put(store, "inspect/a", "small").await;
    assert_eq!(store.inspect(&Key::new("inspect/a")).await.expect("inspect"), Structure::Plain);
    assert!(store.inspect(&Key::new("inspect/b")).await.expect_err("nothing there").is_not_found());
    let mut staged = store.stage(&Key::new("inspect/staged"), None).await.expect("stage");
    staged.write(Bytes::from_static(b"in segments, perhaps")).await.expect("write");
    staged.publish(&Key::new("inspect/large")).await.expect("publish");
    match store.inspect(&Key::new("inspect/large")).await.expect("inspect") {
        Structure::Plain => {}
        Structure::Static { segments } | Structure::Dynamic { recorded: Some(segments), .. } => {
            assert_eq!(segments.iter().map(|segment| segment.size).sum::<u64>(), 20);
        }
        Structure::Dynamic { recorded: None, .. } => panic!("its segments are not on record"),
    }
}

/// Names and sizes of everything in an area, over all pages.
///
/// # Panics
/// When a page cannot be had.
pub async fn inventory(store: &dyn Inventory, area: Area) -> Vec<(String, u64)> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store.rows(area, after.as_deref()).await.expect("rows");
        all.extend(page.rows.into_iter().map(|row| (row.name, row.size)));
        after = page.next;
        if after.is_none() {
            assert!(all.is_sorted(), "{all:?}");
            return all;
        }
    }
}

async fn a_limit_is_kept(store: &dyn Store) {
    put(store, "limit/a", "12345").await;
    assert_eq!(store.get(&Key::new("limit/a"), 5).await.expect("fits"), "12345");
    let error = store.get(&Key::new("limit/a"), 4).await.expect_err("too large");
    assert_eq!(error.kind, StoreErrorKind::Invalid);
}

async fn deletes_are_idempotent(store: &dyn Store) {
    put(store, "delete/a/b/c", "x").await;
    put(store, "delete/a/d", "x").await;
    let options = Delete { prune_parents: 2 };
    assert!(store.delete(&Key::new("delete/a/b/c"), options).await.expect("delete"));
    assert!(!store.delete(&Key::new("delete/a/b/c"), options).await.expect("delete again"));
    assert!(store.head(&Key::new("delete/a/d")).await.is_ok(), "a sibling was deleted");
    put(store, "delete/a/b/c", "y").await;
    assert_eq!(store.get(&Key::new("delete/a/b/c"), 9).await.expect("written again"), "y");
}

async fn listings_are_ordered_and_paged(store: &dyn Store) {
    for key in ["list/b/x", "list/a", "list/b/y", "list/c-d/z", "list/c/z"] {
        put(store, key, "").await;
    }
    let all = List { shallow: true, after: None, limit: 10 };
    let page = store.list(&Key::new("list"), all.clone()).await.expect("list");
    let names: Vec<&str> = page.entries.iter().map(Entry::name).collect();
    assert_eq!(names, ["a", "b", "c", "c-d"]);
    assert!(matches!(page.entries[0], Entry::Object(_)) && matches!(page.entries[1], Entry::Prefix(_)));
    let page = store.list(&Key::new("list"), List { after: Some("a".into()), limit: 1, ..all.clone() }).await;
    let page = page.expect("second page");
    assert_eq!((page.entries[0].name(), page.entries.len(), page.more), ("b", 1, true));
    let deep = store.list(&Key::new("list"), List { shallow: false, ..all.clone() }).await.expect("deep");
    let names: Vec<&str> = deep.entries.iter().map(Entry::name).collect();
    assert_eq!(names, ["a", "b/x", "b/y", "c-d/z", "c/z"]);
    let deep = List { shallow: false, after: Some("b/x".into()), limit: 2 };
    let deep = store.list(&Key::new("list"), deep).await.expect("deep page");
    let names: Vec<&str> = deep.entries.iter().map(Entry::name).collect();
    assert_eq!((names, deep.more), (vec!["b/y", "c-d/z"], true));
    assert!(store.list(&Key::new("no/such"), all).await.expect("empty").entries.is_empty());
}

async fn a_listing_below_a_name_does_not_see_its_siblings(store: &dyn Store) {
    put(store, "sibling/a/1", "").await;
    put(store, "sibling/ab/2", "").await;
    let options = List { shallow: false, after: None, limit: 10 };
    let page = store.list(&Key::new("sibling/a"), options).await.expect("list");
    assert_eq!(page.entries, [Entry::Object("1".into())]);
}

async fn staged_objects_are_invisible_until_published(store: &dyn Store) {
    let (place, target) = (Key::new("staging/one/data"), Key::new("published/one"));
    let mut staged = store.stage(&place, None).await.expect("stage");
    staged.write(Bytes::from_static(b"hello ")).await.expect("write");
    staged.write(Bytes::from_static(b"world")).await.expect("write");
    assert_eq!(staged.length(), 11);
    assert!(store.head(&target).await.is_err());
    staged.publish(&target).await.expect("publish");
    assert_eq!(read_all(store, &target).await, b"hello world");
    assert!(store.head(&place).await.is_err(), "something staged was left");
    let staged = store.stage(&place, None).await.expect("stage an empty one");
    staged.publish(&target).await.expect("replace");
    assert_eq!(read_all(store, &target).await, b"");
}

async fn staging_goes_on_at_its_checkpoint(store: &dyn Store) {
    let (place, target) = (Key::new("staging/two/data"), Key::new("published/two"));
    let mut staged = store.stage(&place, None).await.expect("stage");
    staged.write(Bytes::from_static(b"durable")).await.expect("write");
    let checkpoint = staged.checkpoint().await.expect("checkpoint");
    staged.write(Bytes::from_static(b" lost")).await.expect("write");
    drop(staged);
    let mut staged = store.stage(&place, Some(&checkpoint)).await.expect("resume");
    assert_eq!(staged.length(), 7);
    staged.write(Bytes::from_static(b" kept")).await.expect("write");
    staged.publish(&target).await.expect("publish");
    assert_eq!(read_all(store, &target).await, b"durable kept");
}

async fn discarded_stages_are_gone(store: &dyn Store) {
    let place = Key::new("staging/three/data");
    let mut staged = store.stage(&place, None).await.expect("stage");
    staged.write(Bytes::from_static(b"x")).await.expect("write");
    let checkpoint = staged.checkpoint().await.expect("checkpoint");
    drop(staged);
    store.discard(&place, &checkpoint, None).await.expect("discard");
    store.discard(&place, &checkpoint, None).await.expect("discard again");
    assert!(store.stage(&place, Some(&checkpoint)).await.is_err(), "went on with a discarded stage");
}

async fn illegal_keys_are_refused(store: &dyn Store) {
    if cfg!(debug_assertions) {
        return; // Key::new panics first in debug builds.
    }
    for key in ["../x", "a//b", "", "/etc/passwd"] {
        assert!(store.head(&Key::new(key)).await.is_err(), "{key:?} was accepted");
    }
}
