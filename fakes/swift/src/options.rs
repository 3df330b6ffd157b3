//! How a fake cluster is set up, and what it says of itself.

use std::time::Duration;

use serde_json::json;

use crate::http::Reply;

/// Which of Swift's middleware is in the pipeline of the proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pipeline {
    /// SLO, DLO, bulk, TempURL, copy.
    #[default]
    Full,
    /// DLO, TempURL and copy: `?multipart-manifest=put` stores its body as it is, and `?bulk-delete` is not known.
    NoSloNoBulk,
}

/// Someone who may log in.
#[derive(Clone, Debug)]
pub struct User {
    /// `ACCOUNT:USER`, as `X-Auth-User` has it.
    pub name: String,
    /// The password.
    pub key: String,
    /// Refused with 403 when it writes.
    pub read_only: bool,
}

/// How a fake cluster is set up. The default is a healthy cluster of one proxy.
#[derive(Clone, Debug)]
pub struct Options {
    /// What all chances are drawn from.
    pub seed: u64,
    /// The middleware in the pipeline.
    pub pipeline: Pipeline,
    /// The name of the one account, as in the storage URL.
    pub account: String,
    /// Who may log in.
    pub users: Vec<User>,
    /// How long a token lives. Default: a day, as tempauth's.
    pub token_life: Duration,
    /// The clocks of the proxies, in milliseconds from the true time; one proxy each, all with the same data.
    pub front_ends_ms: Vec<i64>,
    /// The most entries of one page of a listing. Default: 10000, as Swift's.
    pub page_limit: usize,
    /// The most segments of an SLO. Default: 1000, as Swift's.
    pub max_slo_segments: usize,
    /// The smallest segment of an SLO but its last, in bytes. Default: 1, as today's Swift; older ones had 1 MiB.
    pub min_slo_segment: u64,
    /// The largest object, in bytes. Default: 5368709122, as Swift's.
    pub max_file_size: u64,
    /// The most names of one bulk delete. Default: 10000, as Swift's.
    pub max_bulk_deletes: usize,
    /// How many segments of a DLO a second are sent after the tenth. Default: no limit (Swift's own is 1).
    pub dlo_segments_per_second: Option<f64>,
    /// What `/info` allows for TempURL. Default: `sha1`, `sha256`, `sha512`.
    pub temp_url_digests: Vec<String>,
    /// Takes the start of a request from its `X-Timestamp`, as Swift does with `shunt_inbound_x_timestamp = false`.
    /// Default: no, as Swift's.
    pub client_timestamps: bool,
    /// How long a hung request stays open before its connection is reset. Default: 30 s.
    pub hang: Duration,
}

impl Default for Options {
    fn default() -> Options {
        let user = |name: &str, key: &str, read_only| User { name: name.into(), key: key.into(), read_only };
        Options {
            seed: 0,
            pipeline: Pipeline::Full,
            account: "AUTH_test".into(),
            users: vec![user("test:tester", "testing", false), user("test:reader", "reading", true)],
            token_life: Duration::from_secs(86_400),
            front_ends_ms: vec![0],
            page_limit: 10_000,
            max_slo_segments: 1000,
            min_slo_segment: 1,
            max_file_size: 5_368_709_122,
            max_bulk_deletes: 10_000,
            dlo_segments_per_second: None,
            temp_url_digests: ["sha1", "sha256", "sha512"].map(String::from).to_vec(),
            client_timestamps: false,
            hang: Duration::from_secs(30),
        }
    }
}

/// `GET /info`: the capabilities of a cluster with those options. As with the real one, DLO has no entry.
pub(crate) fn info(options: &Options) -> Reply {
    let mut info = json!({
        "swift": {
            "version": "2.30.1",
            "max_file_size": options.max_file_size,
            "max_object_name_length": 1024,
            "max_container_name_length": 256,
            "max_account_name_length": 256,
            "max_meta_name_length": 128,
            "max_meta_value_length": 256,
            "max_meta_count": 90,
            "max_meta_overall_size": 4096,
            "max_header_size": 8192,
            "extra_header_count": 0,
            "container_listing_limit": options.page_limit,
            "account_listing_limit": options.page_limit,
            "policies": [{ "name": "Policy-0", "default": true, "aliases": "Policy-0" }],
            "strict_cors_mode": true,
            "allow_account_management": true,
            "account_autocreate": true,
            "valid_api_versions": ["v1", "v1.0"],
        },
        "tempauth": { "account_acls": true },
        "tempurl": {
            "methods": ["GET", "HEAD", "PUT", "POST", "DELETE"],
            "allowed_digests": options.temp_url_digests,
            "incoming_remove_headers": ["x-timestamp"],
            "incoming_allow_headers": [],
            "outgoing_remove_headers": ["x-object-meta-*"],
            "outgoing_allow_headers": ["x-object-meta-public-*"],
        },
    });
    if options.pipeline == Pipeline::Full {
        info["slo"] = json!({
            "max_manifest_segments": options.max_slo_segments,
            "max_manifest_size": 8_388_608,
            "min_segment_size": options.min_slo_segment,
            "yield_frequency": 10,
            "allow_async_delete": false,
        });
        info["bulk_delete"] =
            json!({ "max_deletes_per_request": options.max_bulk_deletes, "max_failed_deletes": 1000 });
    }
    Reply::bare(200).header("Content-Type", "application/json; charset=UTF-8").text(info.to_string())
}
