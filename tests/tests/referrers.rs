//! The referrers API (end-12): what points to a manifest.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use serde_json::{Value, json};
use wharfinger_test_support::{Api, Digest, Image, Registry};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn referrers(api: &Api, name: &str, query: &str) -> (Vec<Value>, Option<String>) {
    let answer = api.get(&format!("/v2/{name}/referrers/{query}")).expect(200);
    assert_eq!(answer.required("content-type"), INDEX);
    let body = answer.json();
    assert_eq!((&body["schemaVersion"], &body["mediaType"]), (&json!(2), &json!(INDEX)));
    let list = body["manifests"].as_array().unwrap().clone();
    (list, answer.header("oci-filters-applied").map(str::to_owned))
}

/// An artifact of that type that refers to `subject`.
fn artifact(seed: u64, kind: &str, subject: &Image) -> Image {
    let subject = json!({
        "mediaType": subject.media_type, "digest": subject.digest.to_string(), "size": subject.manifest.len(),
    });
    Image::small(seed).with_fields(&json!({
        "subject": subject, "artifactType": kind, "annotations": { "seed": seed.to_string() },
    }))
}

#[test]
fn what_nobody_refers_to_has_an_empty_list() {
    let registry = Registry::start();
    let unknown = Digest::sha256(b"unknown").to_string();
    assert!(referrers(&registry.api(), "any", &unknown).0.is_empty());
}

#[test]
fn artifacts_are_found_by_their_subject() {
    let registry = Registry::start();
    let (api, subject) = (registry.api(), Image::small(1));
    let (sbom, signature) =
        (artifact(2, "application/sbom", &subject), artifact(3, "application/sig", &subject));
    // The subject may come later (distribution-spec, "Pushing Manifests with Subject").
    for (tag, image) in [("sbom", &sbom), ("sig", &signature)] {
        for blob in image.blobs() {
            api.ensure_blob("app", &blob.digest, || blob.bytes());
        }
        let answer = api.put_manifest("app", tag, image.media_type, &image.manifest).expect(201);
        assert_eq!(answer.required("oci-subject"), subject.digest.to_string());
    }
    api.push_image("app", "v1", &subject);
    let (found, applied) = referrers(&api, "app", &subject.digest.to_string());
    assert_eq!((found.len(), applied), (2, None));
    let (found, applied) =
        referrers(&api, "app", &format!("{}?artifactType=application/sbom", subject.digest));
    assert_eq!(applied.as_deref(), Some("artifactType"));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["digest"], sbom.digest.to_string());
    assert_eq!(found[0]["artifactType"], "application/sbom");
    assert_eq!(found[0]["size"], sbom.manifest.len());
    assert_eq!(found[0]["annotations"], json!({ "seed": "2" }));
    let (found, _) = referrers(&api, "other", &subject.digest.to_string());
    assert!(found.is_empty(), "referrers stay in their repository");
}

#[test]
fn a_deleted_artifact_is_no_referrer() {
    let registry = Registry::start();
    let (api, subject) = (registry.api(), Image::small(4));
    api.push_image("app", "v1", &subject);
    let artifact = artifact(5, "application/sbom", &subject);
    api.push_image("app", "sbom", &artifact);
    assert_eq!(referrers(&api, "app", &subject.digest.to_string()).0.len(), 1);
    api.delete(&format!("/v2/app/manifests/{}", artifact.digest)).expect(202);
    assert!(referrers(&api, "app", &subject.digest.to_string()).0.is_empty());
    api.pull("app", "v1");
}

#[test]
fn many_referrers_come_in_full() {
    let registry = Registry::start();
    let (api, subject) = (registry.api(), Image::small(6));
    api.push_image("app", "v1", &subject);
    let mut expected: Vec<String> = Vec::new();
    for seed in 100..160 {
        let artifact = artifact(seed, "application/sbom", &subject);
        api.push_image("app", &artifact.digest.to_string(), &artifact);
        expected.push(artifact.digest.to_string());
    }
    let mut found = Vec::new();
    let mut next = Some(format!("/v2/app/referrers/{}", subject.digest));
    while let Some(target) = next.take() {
        let answer = api.get(&target).expect(200);
        let body = answer.json();
        found.extend(
            body["manifests"]
                .as_array()
                .unwrap()
                .iter()
                .map(|entry| entry["digest"].as_str().unwrap().to_owned()),
        );
        next = answer
            .header("link")
            .map(|link| link[link.find('<').unwrap() + 1..link.find('>').unwrap()].to_owned());
    }
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}
