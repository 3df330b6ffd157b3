//! `GET /info`: what the pipeline can do.

use serde_json::json;

use crate::http::Reply;
use crate::options::{Options, Pipeline};

/// The capabilities of a cluster with those options. As with the real one, DLO has no entry.
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
