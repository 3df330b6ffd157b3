//! Blobs that docker-registry left as dynamic large objects, where Swift lets one segment a second through after the
//! tenth.

use anyhow::Result;

use super::SEGMENT;
use super::blobs::figures_of;
use crate::content::{Content, Uploads};
use crate::figure::{Figure, Figures};
use crate::measure::bulk;
use crate::peer::Kind;
use crate::swift::Bench;

/// The first pull of a blob of the round's own and, where that is no matter of half a minute, the next one; both
/// servers read the same blob.
pub(super) fn pull(bench: &mut Bench, kind: Kind, round: usize) -> Result<Figures> {
    let container = format!("legacy-{round}");
    bench.start_throttled();
    if bench.prepares(&container) {
        let uploads = Uploads::new(bench.sizes.segments * SEGMENT);
        let content = Content::new(uploads.next().to_bytes());
        let writer = bench.start_legacy(Kind::Docker, &container, Some(SEGMENT))?;
        let mut connection = writer.target.connect()?;
        writer.target.patch_blob(&mut connection, &content.digest, &[&content.bytes])?;
        bench.legacy = Some(content);
    }
    let Some(content) = bench.legacy.clone() else { anyhow::bail!("docker-registry did not push it") };
    let registry = bench.start_legacy(kind, &container, None)?;
    let mut figures = figures_of(&bulk::pull(&registry.target, &content, 1, 1)?);
    if kind == Kind::Wharfinger {
        let next = bulk::pull(&registry.target, &content, 1, 1)?;
        figures.set(Figure::NextSeconds, next.elapsed.as_secs_f64());
    }
    Ok(figures)
}
