//! Pushed manifests.

use serde_json::Value;
use wharfinger_oci::{Descriptor, Manifest, media_type};

/// `Content-Type` headers, chosen by the first byte of the input.
const HEADERS: [Option<&str>; 10] = [
    None,
    Some(media_type::OCI_MANIFEST),
    Some(media_type::OCI_INDEX),
    Some(media_type::DOCKER_MANIFEST),
    Some(media_type::DOCKER_LIST),
    Some(media_type::DOCKER_SCHEMA1_SIGNED),
    Some("application/vnd.oci.image.manifest.v1+json; charset=utf-8"),
    Some(" application/vnd.oci.image.index.v1+json ;"),
    Some(""),
    Some("application/json"),
];

/// `data` is a digit (or any byte) that chooses the header, then the body. What is taken at the push is the same
/// when it is read from the store, where no header is kept; header and body say one thing (CVE-2021-41190).
pub fn check(data: &[u8]) {
    let ([choice], body) = crate::head(data);
    let header = HEADERS[usize::from(choice.wrapping_sub(b'0')) % HEADERS.len()];
    let Ok(pushed) = Manifest::parse(header, body) else { return };
    let stored = Manifest::parse_stored(body);
    assert_eq!(
        format!("{pushed:?}"),
        stored.map_or_else(|error| error.to_string(), |stored| format!("{stored:?}"))
    );

    assert!(std::str::from_utf8(body).is_ok(), "a manifest that is not text");
    // Numbers and depths beyond what a `Value` holds may stand in unknown fields.
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return };
    let declared = value.get("mediaType").and_then(Value::as_str);
    for said in
        [declared, header.map(media_type::essence).filter(|said| !said.is_empty())].into_iter().flatten()
    {
        assert_eq!(said, pushed.kind.media_type());
    }
    check_shape(&pushed, &value);
    for descriptor in
        pushed.config.iter().chain(&pushed.layers).chain(&pushed.manifests).chain(&pushed.subject)
    {
        check_descriptor(descriptor);
    }
}

/// An image or an index, never both.
fn check_shape(manifest: &Manifest, value: &Value) {
    let has = |field: &str| value.get(field).is_some_and(|value| !value.is_null());
    let count = |field: &str| value.get(field).and_then(Value::as_array).map_or(0, Vec::len);
    assert_eq!(value.get("schemaVersion").and_then(Value::as_u64), Some(2));
    assert_eq!(manifest.layers.len(), count("layers"));
    assert_eq!(manifest.manifests.len(), count("manifests"));
    assert_eq!(manifest.subject.is_some(), has("subject"));
    if manifest.kind.is_index() {
        assert!(has("manifests") && !has("config") && !has("layers"));
        assert_eq!(manifest.required_blobs().count(), 0);
    } else {
        assert!(!has("manifests") && has("config") && has("layers"));
        assert!((1..=1 + manifest.layers.len()).contains(&manifest.required_blobs().count()));
    }
}

/// A descriptor is written into referrers lists as it was read.
fn check_descriptor(descriptor: &Descriptor) {
    let written = serde_json::to_vec(descriptor).unwrap_or_default();
    assert_eq!(serde_json::from_slice::<Descriptor>(&written).ok().as_ref(), Some(descriptor));
}
