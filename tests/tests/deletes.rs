//! Deletes: what goes, what stays, and who allowed it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::time::Duration;

use wharfinger_fake_swift::{Delay, Fault, Kind, Options, Rule};
use wharfinger_test_support::{FakeContainer, Image, Index, Registry, Style};

#[test]
fn a_deleted_tag_leaves_the_manifest() {
    let registry = Registry::start();
    let (api, image) = (registry.api(), Image::small(1));
    api.push_image("app", "one", &image);
    api.push_image("app", "two", &image);
    api.delete("/v2/app/manifests/one").expect(202);
    api.get("/v2/app/manifests/one").expect_error(404, "MANIFEST_UNKNOWN");
    api.delete("/v2/app/manifests/one").expect_error(404, "MANIFEST_UNKNOWN");
    assert_eq!(api.tags("app"), ["two"]);
    api.pull("app", &image.digest.to_string());
    api.delete("/v2/app/manifests/two").expect(202);
    let rest = api.get("/v2/app/tags/list");
    assert!(
        rest.status == 200 && rest.json()["tags"] == serde_json::json!([]),
        "no tags left: {}",
        rest.text()
    );
}

#[test]
fn a_manifest_deleted_by_digest_takes_its_tags() {
    let registry = Registry::start();
    let (api, image, other) = (registry.api(), Image::small(2), Image::small(3));
    for tag in ["a", "b", "c"] {
        api.push_image("app", tag, &image);
    }
    api.push_image("app", "other", &other);
    api.push_image("elsewhere", "a", &image);
    api.delete(&format!("/v2/app/manifests/{}", image.digest)).expect(202);
    assert_eq!(api.tags("app"), ["other"]);
    api.get(&format!("/v2/app/manifests/{}", image.digest)).expect_error(404, "MANIFEST_UNKNOWN");
    api.pull("app", "other");
    api.pull("elsewhere", "a");
    // And it can be pushed again.
    api.push_image("app", "again", &image);
    api.pull("app", "again");
}

#[test]
fn a_tagged_manifest_is_kept_where_the_configuration_says_so() {
    let registry = Registry::builder().set("storage.delete.by_digest", "refuse-if-tagged").start();
    let (api, image) = (registry.api(), Image::small(4));
    api.push_image("app", "v1", &image);
    let path = format!("/v2/app/manifests/{}", image.digest);
    let refused = api.delete(&path);
    assert!((400..500).contains(&refused.status) && refused.text().contains("v1"), "{}", refused.text());
    api.pull("app", "v1");
    api.delete("/v2/app/manifests/v1").expect(202);
    api.delete(&path).expect(202);
    api.get(&path).expect(404);
}

#[test]
fn a_deleted_blob_is_gone_from_its_repository_only() {
    let registry = Registry::start();
    let api = registry.api();
    let digest = api.push_blob("one", b"content");
    api.push_blob("two", b"content");
    api.delete(&format!("/v2/one/blobs/{digest}")).expect(202);
    api.get(&format!("/v2/one/blobs/{digest}")).expect_error(404, "BLOB_UNKNOWN");
    api.head(&format!("/v2/one/blobs/{digest}")).expect(404);
    api.delete(&format!("/v2/one/blobs/{digest}")).expect_error(404, "BLOB_UNKNOWN");
    api.pull_blob("two", &digest);
    api.push_blob("one", b"content");
    api.pull_blob("one", &digest);
}

#[test]
fn deleting_an_index_leaves_its_images() {
    let registry = Registry::start();
    let (api, index) = (registry.api(), Index::two_platforms(Style::Oci, 5));
    api.push_index("multi", "v1", &index);
    api.delete(&format!("/v2/multi/manifests/{}", index.digest)).expect(202);
    for image in &index.images {
        api.pull("multi", &image.digest.to_string());
    }
}

#[test]
fn nothing_is_deleted_where_deletes_are_off() {
    for builder in [
        Registry::builder().set("storage.delete.enabled", false),
        Registry::builder().unset("storage.delete"),
    ] {
        let registry = builder.start();
        let (api, image) = (registry.api(), Image::small(6));
        api.push_image("app", "v1", &image);
        for path in [
            "/v2/app/manifests/v1".to_owned(),
            format!("/v2/app/manifests/{}", image.digest),
            format!("/v2/app/blobs/{}", image.layers[0].digest),
        ] {
            api.delete(&path).expect_error(405, "UNSUPPORTED");
        }
        api.pull("app", "v1");
        // Cancelling one's own upload is no delete.
        let session = api.start_upload("app");
        api.delete(&session).expect(204);
    }
}

#[test]
fn a_tag_that_no_listing_shows_yet_goes_with_its_manifest() {
    let place = FakeContainer::start(Options::default());
    let late = Fault::RowLate(Delay::Time(Duration::from_secs(60)));
    place.fake().inject(Rule::new(late).on(&[Kind::Put]));
    let registry = Registry::builder().fake_swift(&place).start();
    let (api, image) = (registry.api(), Image::small(8));
    api.push_image("app", "v1", &image);
    api.push_image("app", "v2", &image);
    api.push_image("app", "other", &Image::small(9));
    api.delete(&format!("/v2/app/manifests/{}", image.digest)).expect(202);
    for tag in ["v1", "v2"] {
        assert_eq!(api.get(&format!("/v2/app/manifests/{tag}")).status, 404, "{tag}");
    }
    api.pull("app", "other");
}

#[test]
fn a_read_only_registry_takes_nothing_and_gives_everything() {
    let mut registry = Registry::start();
    let (api, image) = (registry.api(), Image::small(7));
    api.push_image("app", "v1", &image);
    registry.stop();
    registry.reconfigure("storage.maintenance.readonly.enabled", true);
    registry.start_again();
    api.pull("app", "v1");
    api.delete("/v2/app/manifests/v1").expect(405);
    api.put_manifest("app", "v2", image.media_type, &image.manifest).expect(405);
    let post = wharfinger_test_support::Request::new("POST", "/v2/app/blobs/uploads/").body("");
    api.send(post).expect(405);
    assert_eq!(api.tags("app"), ["v1"]);
}
