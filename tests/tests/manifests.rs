//! Manifests: kept byte for byte, checked for what they name, refused with a reason.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use serde_json::json;
use wharfinger_test_support::{Algorithm, Blob, Digest, Image, Index, Registry, Request, Style};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";

#[test]
fn whitespace_and_order_are_kept() {
    let registry = Registry::start();
    let (api, image) = (registry.api(), Image::small(1));
    api.push_image("kept", "plain", &image);
    let value: serde_json::Value = serde_json::from_slice(&image.manifest).unwrap();
    let pretty = serde_json::to_vec_pretty(&value).unwrap();
    api.put_manifest("kept", "pretty", OCI, &pretty).expect(201);
    assert_eq!(api.pull("kept", "pretty").manifest, pretty);
    assert_eq!(api.pull("kept", "plain").manifest, image.manifest);
}

#[test]
fn whatever_is_accepted_gets_what_was_pushed() {
    let registry = Registry::start();
    let (api, image) = (registry.api(), Image::layered(Style::Docker, 2, 1, 100));
    api.push_image("accept", "v1", &image);
    for accept in ["*/*", "", "application/json", OCI] {
        let request = Request::new("GET", "/v2/accept/manifests/v1").header("Accept", accept);
        let answer = api.send(request).expect(200);
        assert_eq!(answer.required("content-type"), image.media_type, "accepting {accept:?}");
        assert_eq!(answer.body, image.manifest);
    }
    let head = api.head("/v2/accept/manifests/v1").expect(200);
    assert_eq!(head.required("content-length"), image.manifest.len().to_string());
    assert_eq!(head.required("etag"), format!("\"{}\"", image.digest));
}

#[test]
fn what_a_manifest_names_must_be_there() {
    let registry = Registry::start();
    let (api, image) = (registry.api(), Image::small(3));
    let put = || api.put_manifest("missing", "v1", image.media_type, &image.manifest);
    let refused = put().expect_error(400, "MANIFEST_BLOB_UNKNOWN");
    assert!(refused.text().contains(&image.layers[1].digest.to_string()), "{}", refused.text());
    for blob in image.blobs() {
        api.push_blob("elsewhere", &blob.bytes());
    }
    put().expect_error(400, "MANIFEST_BLOB_UNKNOWN");
    for blob in image.blobs() {
        api.push_blob("missing", &blob.bytes());
    }
    put().expect(201);
    let index = Index::of(Style::Oci, vec![Image::small(4)]);
    api.put_manifest("missing", "index", OCI_INDEX, &index.manifest)
        .expect_error(400, "MANIFEST_BLOB_UNKNOWN");
}

#[test]
fn a_sparse_index_is_taken_where_the_configuration_says_so() {
    let registry = Registry::builder().set("validation.manifests.indexes.platforms", "none").start();
    let index = Index::of(Style::Oci, vec![Image::small(5)]);
    registry.api().put_manifest("sparse", "v1", OCI_INDEX, &index.manifest).expect(201);
    let answer = registry.api().get("/v2/sparse/manifests/v1").expect(200);
    assert_eq!(answer.body, index.manifest);
}

#[test]
fn non_distributable_layers_need_not_be_there() {
    let registry = Registry::builder()
        .set("validation.manifests.urls.allow", json!(["^https://layers[.]example[.]org/"]))
        .start();
    let (api, config) = (registry.api(), Blob::seeded(6, 10));
    api.push_blob("foreign", &config.bytes());
    let manifest = |url: &str| {
        let layer = json!({
            "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            "digest": Digest::sha256(b"elsewhere").to_string(), "size": 9, "urls": [url],
        });
        let config = config.descriptor("application/vnd.oci.image.config.v1+json");
        json!({ "schemaVersion": 2, "mediaType": OCI, "config": config, "layers": [layer] }).to_string()
    };
    let put = |url: &str| api.put_manifest("foreign", "v1", OCI, manifest(url).as_bytes());
    put("https://layers.example.org/a").expect(201);
    put("https://evil.example.org/a").expect_error(400, "MANIFEST_INVALID");
}

#[test]
fn a_manifest_goes_under_its_own_digest_only() {
    let registry = Registry::start();
    let (api, image) = (registry.api(), Image::small(7));
    api.push_image("digest", &image.digest.to_string(), &image);
    assert!(api.tags("digest").is_empty());
    let other = Digest::sha256(b"other").to_string();
    api.put_manifest("digest", &other, OCI, &image.manifest).expect_error(400, "DIGEST_INVALID");
    let long = Digest::of(Algorithm::Sha512, &image.manifest).to_string();
    let answer = api.put_manifest("digest", &long, OCI, &image.manifest).expect(201);
    assert_eq!(answer.required("docker-content-digest"), long);
    assert_eq!(api.pull("digest", &long).manifest, image.manifest);
}

#[test]
fn one_push_may_set_several_tags() {
    let registry = Registry::start();
    let (api, image) = (registry.api(), Image::small(8));
    api.push_image("several", &image.digest.to_string(), &image);
    let target = format!("{}?tag=one&tag=two", image.digest);
    let answer = api.put_manifest("several", &target, OCI, &image.manifest).expect(201);
    let set: Vec<_> =
        answer.headers.iter().filter(|(name, _)| name == "oci-tag").map(|(_, tag)| tag.as_str()).collect();
    assert_eq!(set.join(", "), "one, two");
    assert_eq!(api.tags("several"), ["one", "two"]);
    let target = format!("{}?tag=good&tag=-bad", image.digest);
    api.put_manifest("several", &target, OCI, &image.manifest).expect_error(400, "TAG_INVALID");
    assert_eq!(api.tags("several"), ["one", "two"], "a refused push sets no tag");
}

#[test]
fn a_manifest_over_four_mebibytes_is_refused() {
    let registry = Registry::start();
    let api = registry.api();
    let image = Image::small(9);
    api.push_image("large", "small", &image);
    let padded = |size: usize| {
        let without = image.with_fields(&json!({ "annotations": { "padding": "" } })).manifest.len();
        image.with_fields(&json!({ "annotations": { "padding": "x".repeat(size - without) } })).manifest
    };
    let limit = 4 << 20;
    api.put_manifest("large", "most", OCI, &padded(limit)).expect(201);
    assert_eq!(api.pull("large", "most").manifest.len(), limit);
    let refused = api.put_manifest("large", "too-large", OCI, &padded(limit + 1)).expect(413);
    assert_eq!(refused.error_code(), "MANIFEST_INVALID");
}

#[test]
fn the_body_and_the_header_must_agree() {
    let registry = Registry::start();
    let (api, image) = (registry.api(), Image::small(10));
    api.push_image("confused", "v1", &image);
    // CVE-2021-41190: one document that is a manifest to one client and an index to another.
    api.put_manifest("confused", "v2", OCI_INDEX, &image.manifest).expect_error(400, "MANIFEST_INVALID");
    let both = image.with_fields(&json!({ "manifests": [] }));
    api.put_manifest("confused", "v2", OCI, &both.manifest).expect_error(400, "MANIFEST_INVALID");
    api.put_manifest("confused", "v2", "text/plain", &image.manifest).expect_error(400, "MANIFEST_INVALID");
}

#[test]
fn schema1_is_refused_with_a_way_out() {
    let registry = Registry::start();
    let body = br#"{"schemaVersion":1,"name":"old","tag":"v1","fsLayers":[],"history":[],"signatures":[]}"#;
    let refused =
        registry.api().put_manifest("old", "v1", SCHEMA1, body).expect_error(400, "MANIFEST_INVALID");
    assert!(refused.text().contains("schema2") || refused.text().contains("schema 2"), "{}", refused.text());
}

#[test]
fn what_is_no_manifest_is_refused() {
    let registry = Registry::start();
    let api = registry.api();
    for body in
        ["", "{", "[]", "null", "{}", r#"{"schemaVersion":2}"#, r#"{"schemaVersion":3}"#, "\u{0}", "<xml/>"]
    {
        let answer = api.put_manifest("broken", "v1", OCI, body.as_bytes());
        assert_eq!(answer.expect(400).error_code(), "MANIFEST_INVALID", "{body:?}");
    }
    assert!(api.catalog().is_empty());
}
