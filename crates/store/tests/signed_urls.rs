//! Temporary URLs of objects in Swift: which key signs them, and which objects have none.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::time::Duration;

use bytes::Bytes;
use wharfinger_fake_swift::{FakeSwift, Options, Pipeline};
use wharfinger_store::swift::{LargeObjects, Signing, SwiftOptions};
use wharfinger_store::{Durability, Key, NoUrl, Signed, SignedUrl, Store, StoreErrorKind, Swift};
use wharfinger_swift::{Auth, Client, Secret};

const CONTAINER: &str = "registry";
const LIFE: Duration = Duration::from_secs(600);

fn client(fake: &FakeSwift) -> Client {
    let user = Options::default().users[0].clone();
    let auth = Auth::V1 { url: fake.auth_url(), user: user.name, key: Secret::new(&user.key) };
    Client::new(wharfinger_swift::Options::new(auth)).unwrap()
}

/// A store that makes URLs, with this key; one that may write makes the container.
async fn store(fake: &FakeSwift, key: Option<&str>, writable: bool) -> Swift {
    let options = SwiftOptions {
        container: CONTAINER.to_owned(),
        prefix: "site".to_owned(),
        segment_size: 1024 * 1024,
        large: LargeObjects::Auto,
        writable,
        signing: Some(Signing { key: key.map(Secret::new), on_container: true, base_url: None }),
    };
    let store = Swift::new(client(fake), options).unwrap();
    if writable {
        store.prepare().await.unwrap();
    }
    store
}

/// An object of two segments, and the names of these.
async fn large(fake: &FakeSwift, store: &Swift, name: &str) -> (Key, Vec<String>) {
    let (place, target) = (Key::new(format!("ours/uploads/{name}/data")), Key::new(name));
    let mut staged = store.stage(&place, None).await.unwrap();
    for part in ["first ", "second"] {
        staged.write(Bytes::from(part)).await.unwrap();
        staged.checkpoint().await.unwrap();
    }
    staged.publish(&target).await.unwrap();
    let of_it = |name: &String| name.starts_with(&format!("site/segments/{}", place.as_str()));
    (target, fake.objects(CONTAINER).into_iter().filter(of_it).collect())
}

#[track_caller]
fn url(signed: Signed) -> SignedUrl {
    match signed {
        Signed::Url(url, _) => url,
        Signed::Not(none) => panic!("no URL: {none}"),
    }
}

/// Whether Swift takes it.
async fn is_good(fake: &FakeSwift, url: &SignedUrl) -> bool {
    client(fake).takes_temp_url(&url.expose().parse().unwrap()).await.unwrap()
}

#[tokio::test]
async fn plain_and_large_objects_have_a_url_that_swift_takes() {
    for pipeline in [Pipeline::Full, Pipeline::NoSloNoBulk] {
        let fake = FakeSwift::start(Options { pipeline, ..Options::default() });
        let store = store(&fake, None, true).await;
        let (target, _) = large(&fake, &store, "large").await;
        let small = Key::new("small");
        store.put(&small, Bytes::from_static(b"x"), Durability::Synced).await.unwrap();
        for (key, size) in [(target, 12), (small, 1)] {
            let signed = store.signed_url(&key, LIFE).await.unwrap();
            let Signed::Url(_, meta) = &signed else { panic!("{signed:?}") };
            assert_eq!(meta.size, size);
            assert!(is_good(&fake, &url(signed)).await, "{pipeline:?} {key}");
        }
        let absent = store.signed_url(&Key::new("absent"), LIFE).await.unwrap_err();
        assert_eq!(absent.kind, StoreErrorKind::NotFound);
    }
}

#[tokio::test]
async fn an_object_of_which_swift_would_answer_less_has_none() {
    let fake = FakeSwift::start(Options { pipeline: Pipeline::NoSloNoBulk, ..Options::default() });
    let store = store(&fake, None, true).await;
    let (target, segments) = large(&fake, &store, "listed").await;
    url(store.signed_url(&target, LIFE).await.unwrap());
    fake.hide_row(CONTAINER, &segments[1]);
    assert_eq!(store.signed_url(&target, LIFE).await.unwrap(), Signed::Not(NoUrl::Incomplete));

    // The list of another writer's segments is only what a listing showed.
    let put = wharfinger_swift::Put::default();
    let container = client(&fake).container(CONTAINER).unwrap();
    for number in [1, 2] {
        let name = format!("site/segments/2f6/46f6/{number:016}");
        container.put(&name, Bytes::from_static(b"theirs"), &put).await.unwrap();
    }
    container.put_dlo("site/files/theirs", CONTAINER, "site/segments/2f6/46f6", &put).await.unwrap();
    let theirs = Key::new("theirs");
    assert_eq!(store.signed_url(&theirs, LIFE).await.unwrap(), Signed::Not(NoUrl::Incomplete));
    let wharfinger_store::ObjectData::Remote(object) = store.open(&theirs).await.unwrap().data else {
        panic!("not remote");
    };
    object.remember().await.unwrap();
    url(store.signed_url(&theirs, LIFE).await.unwrap());
}

#[tokio::test]
async fn an_object_without_one_of_its_segments_is_damaged() {
    for pipeline in [Pipeline::Full, Pipeline::NoSloNoBulk] {
        let fake = FakeSwift::start(Options { pipeline, ..Options::default() });
        let store = store(&fake, None, true).await;
        let (target, segments) = large(&fake, &store, "damaged").await;
        fake.remove(CONTAINER, &segments[0]);
        match store.signed_url(&target, LIFE).await {
            Err(error) => assert_eq!(error.kind, StoreErrorKind::Invalid, "{error}"),
            // Where the listing tells as much.
            Ok(signed) => assert_eq!(signed, Signed::Not(NoUrl::Incomplete)),
        }
    }
}

#[tokio::test]
async fn two_servers_without_a_key_sign_with_one() {
    let fake = FakeSwift::start(Options::default());
    let (one, other) = (store(&fake, None, true).await, store(&fake, None, true).await);
    let (target, _) = large(&fake, &one, "shared").await;
    let first = url(one.signed_url(&target, LIFE).await.unwrap());
    let second = url(other.signed_url(&target, LIFE).await.unwrap());
    assert!(is_good(&fake, &first).await && is_good(&fake, &second).await);
    let keys = client(&fake).container(CONTAINER).unwrap().temp_url_keys().await.unwrap();
    assert!(keys.current.is_some() && keys.previous.is_none(), "the second one set a key again");
}

#[tokio::test]
async fn a_configured_key_becomes_swifts_and_the_one_before_stays_good() {
    let fake = FakeSwift::start(Options::default());
    let old = store(&fake, Some("old"), true).await;
    let (target, _) = large(&fake, &old, "rotated").await;
    let before = url(old.signed_url(&target, LIFE).await.unwrap());
    let new = store(&fake, Some("new"), true).await;
    let after = url(new.signed_url(&target, LIFE).await.unwrap());
    assert!(is_good(&fake, &before).await && is_good(&fake, &after).await);
    let keys = client(&fake).container(CONTAINER).unwrap().temp_url_keys().await.unwrap();
    assert_eq!((keys.current, keys.previous), (Some("new".into()), Some("old".into())));
}

#[tokio::test]
async fn a_store_that_is_only_read_signs_with_a_key_that_swift_knows_and_sets_none() {
    let fake = FakeSwift::start(Options::default());
    let writer = store(&fake, Some("known"), true).await;
    let (target, _) = large(&fake, &writer, "observed").await;
    let observed = async |key| store(&fake, key, false).await.signed_url(&target, LIFE).await.unwrap();
    assert_eq!(observed(Some("known")).await, Signed::Not(NoUrl::OtherKey));
    writer.prepare_signing().await.unwrap();
    url(observed(Some("known")).await);
    assert_eq!(observed(Some("other")).await, Signed::Not(NoUrl::OtherKey));
    assert_eq!(observed(None).await, Signed::Not(NoUrl::NoKey));
    let keys = client(&fake).container(CONTAINER).unwrap().temp_url_keys().await.unwrap();
    assert_eq!((keys.current, keys.previous), (Some("known".into()), None));
}

#[tokio::test]
async fn a_key_of_the_account_will_do() {
    let fake = FakeSwift::start(Options::default());
    let writer = store(&fake, None, true).await;
    let (target, _) = large(&fake, &writer, "account").await;
    client(&fake).rotate_temp_url_key(&"accounts".into()).await.unwrap();
    for key in [None, Some("accounts")] {
        let signed = url(store(&fake, key, true).await.signed_url(&target, LIFE).await.unwrap());
        assert!(is_good(&fake, &signed).await);
    }
    let keys = client(&fake).container(CONTAINER).unwrap().temp_url_keys().await.unwrap();
    assert_eq!(keys.current, None);
}

#[tokio::test]
async fn a_cluster_that_knows_none_of_our_digests_offers_no_urls() {
    let options = Options { temp_url_digests: vec!["sha3".to_owned()], ..Options::default() };
    let fake = FakeSwift::start(options);
    let store = store(&fake, None, true).await;
    let (target, _) = large(&fake, &store, "unsigned").await;
    assert_eq!(store.signed_url(&target, LIFE).await.unwrap(), Signed::Not(NoUrl::NotOffered));
}

#[tokio::test]
async fn the_address_outside_stands_in_place_of_ours() {
    let fake = FakeSwift::start(Options::default());
    let mut options = SwiftOptions {
        container: CONTAINER.to_owned(),
        prefix: String::new(),
        segment_size: 1024 * 1024,
        large: LargeObjects::Auto,
        writable: true,
        signing: None,
    };
    let key = Key::new("a");
    let plain = Swift::new(client(&fake), options.clone()).unwrap();
    plain.put(&key, Bytes::from_static(b"x"), Durability::Synced).await.unwrap();
    assert_eq!(plain.signed_url(&key, LIFE).await.unwrap(), Signed::Not(NoUrl::NotAsked));
    let base_url = Some("https://swift.example.org/outside".to_owned());
    options.signing = Some(Signing { key: None, on_container: false, base_url });
    let signed = url(Swift::new(client(&fake), options).unwrap().signed_url(&key, LIFE).await.unwrap());
    let expected = "https://swift.example.org/outside/v1/AUTH_test/registry/files/a?temp_url_sig=";
    assert!(signed.expose().starts_with(expected), "{}", signed.expose());
    let keys = client(&fake).temp_url_keys().await.unwrap();
    assert!(keys.current.is_some(), "no key was set on the account");
}
