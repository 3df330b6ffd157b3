//! Images, pushed and pulled by skopeo.

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};
use tempfile::TempDir;
use wharfinger_test_support::{Blob, Image, Layout, Style, system_tool, try_tool};

use super::IMAGE_LAYER;
use crate::figure::{Figure, Figures};
use crate::peer::Kind;
use crate::swift::Bench;
use crate::target::Target;

/// Pushes a new image of so many layers; its requests to Swift and its time.
pub(super) fn push(bench: &Bench, kind: Kind, round: usize, layers: usize) -> Result<Figures> {
    let image = Local::new(round, layers)?;
    bench.on_scratch(kind, |target, container| count(bench, container, || image.push(target)))
}

/// Pulls an image of one layer that was pushed to the same server a moment before.
pub(super) fn pull(bench: &Bench, kind: Kind, round: usize) -> Result<Figures> {
    let image = Local::new(round, 1)?;
    bench.on_scratch(kind, |target, container| {
        image.push(target)?;
        count(bench, container, || image.pull(target))
    })
}

fn count(bench: &Bench, container: &str, work: impl FnOnce() -> Result<()>) -> Result<Figures> {
    let mark = bench.cloud.cluster().mark();
    let start = Instant::now();
    work()?;
    let mut figures = Figures::default();
    figures.set(Figure::Seconds, start.elapsed().as_secs_f64());
    figures.set(Figure::SwiftRequests, bench.cloud.requests_since(mark, container) as f64);
    Ok(figures)
}

/// An image in a directory of its own.
struct Local(TempDir);

impl Local {
    /// Layers that no other round has.
    fn new(round: usize, layers: usize) -> Result<Local> {
        let local = Local(tempfile::tempdir()?);
        let seed = |layer: usize| (round * 1_000 + layer + 1) as u64;
        let layers = (0..layers).map(|layer| Blob::seeded(seed(layer), IMAGE_LAYER)).collect();
        let image = Image::of(Style::Oci, "amd64", layers);
        Layout::create(&local.0.path().join("image")).add_image(&image, "v1");
        Ok(local)
    }

    fn push(&self, target: &Target) -> Result<()> {
        skopeo("--dest-tls-verify=false", &self.at("image"), &remote(target))
    }

    /// skopeo compares the digest of everything that it pulls.
    fn pull(&self, target: &Target) -> Result<()> {
        skopeo("--src-tls-verify=false", &remote(target), &self.at("copy"))
    }

    fn at(&self, name: &str) -> String {
        format!("oci:{}:v1", self.0.path().join(name).display())
    }
}

fn remote(target: &Target) -> String {
    format!("docker://{}/{}:v1", target.address, target.repository)
}

fn skopeo(option: &str, from: &str, to: &str) -> Result<()> {
    let mut command = Command::new(system_tool("skopeo").path);
    let arguments = ["--insecure-policy", "copy", "-q", option, from, to];
    let (done, output) = try_tool(command.args(arguments));
    ensure!(done, "skopeo: {}", output.trim());
    Ok(())
}
