//! Records of ours that cannot be read as such, beside an image that they must not hurt.

use serde_json::json;
use wharfinger_oci::Digest;

use crate::ground::Ground;
use crate::image::Image;
use crate::registry::Registry;

const REPOSITORY: &str = "app";

/// Two entries of the audit log and one of the referrers index.
#[derive(Debug)]
pub struct BrokenRecords {
    image: Image,
}

impl BrokenRecords {
    /// Pushes an image and writes the records beside it.
    pub fn write(registry: &Registry, ground: Ground<'_>) -> BrokenRecords {
        let image = Image::small(3);
        registry.api().push_image(REPOSITORY, "v1", &image);
        for key in BrokenRecords::audit() {
            ground.write(&key, b"{");
        }
        let (hex, stale) = (image.digest.hex(), Digest::sha256(b"gone").hex());
        let referrers = format!("wharfinger/v1/repositories/{REPOSITORY}/_referrers");
        ground.write(&format!("{referrers}/sha256/{hex}/sha256/{stale}"), b"{");
        BrokenRecords { image }
    }

    /// The keys of the entries of the audit log.
    pub fn audit() -> [String; 2] {
        ["6f1c9d3e-8a2e-4d0e-9f5e-3a1f7c2b9d10", "6f1c9d3e-8a2e-4d0e-9f5e-3a1f7c2b9d11"]
            .map(|id| format!("wharfinger/v1/audit/2026-11-29/210614.123456-{id}"))
    }

    /// A walk tells of them as notes, and nothing is mended for them.
    #[track_caller]
    pub fn assert_of_note(&self, registry: &Registry) {
        let operator = registry.operator();
        let (code, report) = operator.json(&["fsck", "--deep"]);
        let notes = json!({ "audit-broken": 2, "referrer-stale": 1 });
        assert_eq!((code, &report["notes"]), (0, &notes), "{report:#}");
        let (code, healed) = operator.json(&["heal", "--deep"]);
        assert_eq!((code, &healed["done"]), (0, &json!([])), "{healed:#}");
        assert_eq!(registry.api().pull(REPOSITORY, "v1").digest, self.image.digest);
    }
}
