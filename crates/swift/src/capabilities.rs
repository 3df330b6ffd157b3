//! What a cluster can do (`GET /info`).

use serde_json::Value;

use crate::{Error, ErrorKind, Result};

/// What `/info` says. Everything that is not said is not there.
///
/// Source: <https://docs.openstack.org/swift/latest/api/discoverability.html>. DLO has no entry of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Version of Swift, e.g. `2.30.1`. None where it is not Swift (Ceph) or does not say.
    pub version: Option<String>,
    /// Static large objects.
    pub slo: Option<SloLimits>,
    /// Most names in one bulk delete; none without bulk delete.
    pub bulk_delete: Option<usize>,
    /// Temporary URLs.
    pub temp_url: Option<TempUrlLimits>,
    /// Realms and clusters of container sync.
    pub container_sync: bool,
    /// Most bytes of one object. Default of Swift: 5 GiB + 2.
    pub max_file_size: Option<u64>,
    /// Most entries of one page of a listing. Default of Swift: 10000.
    pub listing_limit: Option<usize>,
    /// Most bytes in the name of an object. Default of Swift: 1024.
    pub max_object_name: Option<usize>,
}

/// Limits of static large objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SloLimits {
    /// Most segments of one manifest. Default of Swift: 1000.
    pub max_segments: usize,
    /// Most bytes of one manifest. Default of Swift: 8 MiB.
    pub max_manifest_bytes: usize,
    /// Fewest bytes of a segment. Default of Swift: 1.
    pub min_segment_bytes: u64,
}

/// Limits of temporary URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TempUrlLimits {
    /// Methods that may be signed.
    pub methods: Vec<String>,
    /// Digests that are accepted, as Swift writes them; empty on clusters so old that they know SHA-1 alone.
    pub digests: Vec<String>,
}

impl Capabilities {
    /// Reads the body of `/info`.
    pub(crate) fn parse(body: &[u8]) -> Result<Capabilities> {
        let info: Value = serde_json::from_slice(body).map_err(|error| {
            Error::new(ErrorKind::Protocol, format!("the answer to /info cannot be read: {error}"))
        })?;
        let swift = &info["swift"];
        Ok(Capabilities {
            version: swift["version"].as_str().map(str::to_owned),
            slo: info.get("slo").map(|slo| SloLimits {
                max_segments: size(slo, "max_manifest_segments").unwrap_or(1000),
                max_manifest_bytes: size(slo, "max_manifest_size").unwrap_or(2 * 1024 * 1024),
                min_segment_bytes: slo["min_segment_size"].as_u64().unwrap_or(1),
            }),
            bulk_delete: info
                .get("bulk_delete")
                .map(|bulk| size(bulk, "max_deletes_per_request").unwrap_or(1000).max(1)),
            temp_url: info.get("tempurl").map(|limits| TempUrlLimits {
                methods: strings(&limits["methods"]),
                digests: strings(&limits["allowed_digests"]),
            }),
            container_sync: info.get("container_sync").is_some(),
            max_file_size: swift["max_file_size"].as_u64(),
            listing_limit: size(swift, "container_listing_limit"),
            max_object_name: size(swift, "max_object_name_length"),
        })
    }
}

fn size(part: &Value, key: &str) -> Option<usize> {
    part[key].as_u64().and_then(|number| number.try_into().ok())
}

fn strings(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_info_does_not_say_is_not_there() {
        let bare = Capabilities::parse(br#"{"swift": {"version": "2.10.0"}}"#).expect("parses");
        assert_eq!(bare.version.as_deref(), Some("2.10.0"));
        assert!(bare.slo.is_none() && bare.bulk_delete.is_none() && bare.temp_url.is_none());
        assert_eq!(Capabilities::parse(b"{}").expect("parses"), Capabilities::default());
        assert!(Capabilities::parse(b"<html>").is_err());
    }

    #[test]
    fn limits_are_read() {
        let body = br#"{"slo": {"max_manifest_segments": 5, "max_manifest_size": 100, "min_segment_size": 2},
            "bulk_delete": {"max_deletes_per_request": 7},
            "tempurl": {"methods": ["GET"], "allowed_digests": ["sha256"]}, "container_sync": {}}"#;
        let info = Capabilities::parse(body).expect("parses");
        let slo = SloLimits { max_segments: 5, max_manifest_bytes: 100, min_segment_bytes: 2 };
        assert_eq!((info.slo, info.bulk_delete, info.container_sync), (Some(slo), Some(7), true));
        let digests = info.temp_url.map(|limits| limits.digests);
        assert_eq!(digests, Some(vec!["sha256".to_owned()]));
    }
}
