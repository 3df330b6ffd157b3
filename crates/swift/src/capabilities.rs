//! What a cluster can do (`GET /info`).

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
