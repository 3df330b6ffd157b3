//! Lists: complete, in order, in pages that fit together.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use wharfinger_test_support::{Image, Registry};

#[test]
fn tags_come_in_order_and_in_pages() {
    let registry = Registry::start();
    let (api, image) = (registry.api(), Image::small(1));
    let mut names: Vec<String> =
        (0..25).map(|i| format!("v{i}")).chain(["Z".into(), "_a".into(), "a.b-c".into()]).collect();
    for name in &names {
        api.push_image("tags", name, &image);
    }
    names.sort();
    assert_eq!(api.tags("tags"), names);
    for n in [1, 2, 7, 27, 28, 29, 5000] {
        assert_eq!(api.list(&format!("/v2/tags/tags/list?n={n}"), "tags"), names, "pages of {n}");
    }
    let page = api.get("/v2/tags/tags/list?n=3").expect(200);
    assert_eq!(page.json(), serde_json::json!({ "name": "tags", "tags": names[..3] }));
    assert!(page.required("link").contains("n=3"));
    let after = api.get("/v2/tags/tags/list?n=2&last=v1").expect(200).json();
    assert_eq!(after["tags"], serde_json::json!(["v10", "v11"]));
    assert_eq!(api.get("/v2/tags/tags/list?last=zzz").expect(200).json()["tags"], serde_json::json!([]));
    let last = api.get("/v2/tags/tags/list?n=28").expect(200);
    assert_eq!(last.header("link"), None, "the last page points nowhere");
}

#[test]
fn the_tags_of_nothing_are_a_404() {
    let registry = Registry::start();
    registry.api().get("/v2/nobody/tags/list").expect_error(404, "NAME_UNKNOWN");
}

#[test]
fn page_sizes_that_are_none_are_refused() {
    let registry = Registry::start();
    let api = registry.api();
    api.push_image("sizes", "v1", &Image::small(2));
    for path in ["/v2/sizes/tags/list", "/v2/_catalog"] {
        for n in ["abc", "-1", "1.5", "", "%00", "0x10"] {
            api.get(&format!("{path}?n={n}")).expect_error(400, "PAGINATION_NUMBER_INVALID");
        }
        api.get(&format!("{path}?n=99999999999999999999999")).expect(200);
        let none = api.get(&format!("{path}?n=0")).expect(200);
        assert_eq!(none.header("link"), None, "a page of nothing would be followed for ever");
    }
}

#[test]
fn a_page_is_never_larger_than_the_configuration_allows() {
    let registry = Registry::builder().set("catalog.maxentries", 3).set("tags.maxtags", 4).start();
    let (api, image) = (registry.api(), Image::small(3));
    for i in 0..7 {
        api.push_image(&format!("r{i}"), "v1", &image);
        api.push_image("r0", &format!("t{i}"), &image);
    }
    let page = api.get("/v2/_catalog?n=1000").expect(200);
    assert_eq!(page.json()["repositories"].as_array().unwrap().len(), 3);
    assert_eq!(api.catalog().len(), 7);
    let page = api.get("/v2/r0/tags/list?n=1000").expect(200);
    assert_eq!(page.json()["tags"].as_array().unwrap().len(), 4);
    assert_eq!(api.tags("r0").len(), 8);
}

#[test]
fn the_catalog_is_complete_and_ordered() {
    let registry = Registry::start();
    let (api, image) = (registry.api(), Image::small(4));
    assert!(api.catalog().is_empty());
    // Names that are prefixes of others, and names inside of others.
    let mut names = vec!["a", "a/b", "a/b/c", "a-b", "a.b", "ab", "b", "blobs/uploads", "tags/list", "x__y"];
    for name in &names {
        api.push_image(name, "v1", &image);
    }
    names.sort_unstable();
    let mut listed = api.catalog();
    listed.sort();
    assert_eq!(listed, names);
    for n in [1, 3, 9, 10, 11] {
        assert_eq!(api.list(&format!("/v2/_catalog?n={n}"), "repositories"), api.catalog(), "pages of {n}");
    }
    for name in names {
        assert_eq!(api.tags(name), ["v1"], "{name}");
    }
}

#[test]
fn a_moved_tag_is_seen_at_once() {
    let registry = Registry::start();
    let api = registry.api();
    for seed in 10..20 {
        let image = Image::small(seed);
        api.push_image("moving", "latest", &image);
        assert_eq!(api.pull("moving", "latest").digest, image.digest);
    }
    assert_eq!(api.tags("moving"), ["latest"]);
    assert_eq!(api.pull("moving", &Image::small(10).digest.to_string()).digest, Image::small(10).digest);
}
