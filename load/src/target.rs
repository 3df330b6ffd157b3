//! A server under measure and where it keeps things.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use wharfinger_oci::Digest;

use crate::connection::Connection;
use crate::content::{CHUNK, MANIFEST_TYPE, Upload};
use crate::proc::ProcessTree;

/// How a server's URLs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Layout {
    /// The OCI distribution API under /v2/.
    Registry,
    /// Plain files: /manifests/TAG, /manifests/sha256-HEX, /blobs/HEX, written by PUT (WebDAV).
    Static,
}

/// How a blob is pushed to a registry; plain files are always one PUT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PushStyle {
    /// POST, then PUT with the whole body.
    PostPut,
    /// POST, one PATCH with the whole body, PUT without a body.
    PostPatchPut,
    /// POST, a PATCH for every 5 MB, PUT without a body.
    Chunks,
}

/// A server under measure.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// How its URLs look.
    pub(crate) layout: Layout,
    /// The repository that is used.
    pub(crate) repository: String,
    /// Its processes; without them there are no CPU and memory figures.
    pub(crate) processes: Option<ProcessTree>,
}

const OCTETS: &str = "Content-Type: application/octet-stream\r\n";

impl Target {
    /// Opens a connection.
    pub(crate) fn connect(&self) -> Result<Connection> {
        Connection::open(self.address)
    }

    /// The path of a manifest by tag or digest.
    pub(crate) fn manifest_path(&self, reference: &str) -> String {
        match self.layout {
            Layout::Registry => format!("/v2/{}/manifests/{reference}", self.repository),
            Layout::Static => format!("/manifests/{}", reference.replace(':', "-")),
        }
    }

    /// The path of a blob.
    pub(crate) fn blob_path(&self, digest: &Digest) -> String {
        match self.layout {
            Layout::Registry => format!("/v2/{}/blobs/{digest}", self.repository),
            Layout::Static => format!("/blobs/{}", digest.hex()),
        }
    }

    /// The same server with another repository.
    pub(crate) fn with_repository(&self, repository: &str) -> Target {
        Target { repository: repository.to_owned(), ..self.clone() }
    }

    /// Pushes a blob that is in memory (POST and PUT, or a plain PUT).
    pub(crate) fn put_blob(
        &self,
        connection: &mut Connection,
        digest: &Digest,
        parts: &[&[u8]],
    ) -> Result<()> {
        let path = match self.layout {
            Layout::Static => self.blob_path(digest),
            Layout::Registry => finish_path(&self.start_upload(connection)?, digest),
        };
        let answer = connection.request("PUT", &path, OCTETS, parts)?;
        if self.layout == Layout::Static && answer.status == 204 {
            return Ok(());
        }
        check_digest(&answer.expect(201, "PUT of a blob")?.digest, digest)
    }

    /// Pushes a manifest under `reference`.
    pub(crate) fn put_manifest(
        &self,
        connection: &mut Connection,
        reference: &str,
        bytes: &[u8],
    ) -> Result<()> {
        let headers = format!("Content-Type: {MANIFEST_TYPE}\r\n");
        let answer = connection.request("PUT", &self.manifest_path(reference), &headers, &[bytes])?;
        if self.layout == Layout::Static && answer.status == 204 {
            return Ok(());
        }
        answer.expect(201, "PUT of a manifest").map(drop)
    }

    /// Pushes one upload in the given style.
    pub(crate) fn push(&self, connection: &mut Connection, upload: &Upload, style: PushStyle) -> Result<()> {
        let size = upload.size();
        match (self.layout, style) {
            (Layout::Static, _) | (_, PushStyle::PostPut) => {
                self.put_blob(connection, &upload.digest, &upload.part(0, size))
            }
            (_, PushStyle::PostPatchPut) => {
                self.patch_blob(connection, &upload.digest, &upload.part(0, size))
            }
            (_, PushStyle::Chunks) => {
                let mut location = self.start_upload(connection)?;
                for start in (0..size).step_by(CHUNK) {
                    let end = size.min(start + CHUNK);
                    let range = format!("Content-Range: {start}-{}\r\n", end - 1);
                    location = patch(connection, location, &range, &upload.part(start, end))?;
                }
                finish(connection, &location, &upload.digest)
            }
        }
    }

    /// Pushes a blob as docker does: POST, one PATCH without Content-Range, PUT without a body.
    pub(crate) fn patch_blob(
        &self,
        connection: &mut Connection,
        digest: &Digest,
        parts: &[&[u8]],
    ) -> Result<()> {
        let location = self.start_upload(connection)?;
        let location = patch(connection, location, "", parts)?;
        finish(connection, &location, digest)
    }

    fn start_upload(&self, connection: &mut Connection) -> Result<String> {
        let path = format!("/v2/{}/blobs/uploads/", self.repository);
        let answer = connection.request("POST", &path, "", &[])?.expect(202, "POST of an upload")?;
        answer.location.ok_or_else(|| anyhow::anyhow!("POST {path}: no Location in the answer"))
    }
}

/// Sends a part of an upload; gives where the next one goes.
fn patch(connection: &mut Connection, location: String, range: &str, parts: &[&[u8]]) -> Result<String> {
    let answer = connection.request("PATCH", &location, &format!("{OCTETS}{range}"), parts)?;
    Ok(answer.expect(202, "PATCH of an upload")?.location.unwrap_or(location))
}

/// Ends an upload whose bytes were all sent.
fn finish(connection: &mut Connection, location: &str, digest: &Digest) -> Result<()> {
    let answer = connection.request("PUT", &finish_path(location, digest), "", &[])?;
    check_digest(&answer.expect(201, "PUT that ends an upload")?.digest, digest)
}

fn finish_path(location: &str, digest: &Digest) -> String {
    let separator = if location.contains('?') { '&' } else { '?' };
    format!("{location}{separator}digest={digest}")
}

/// A static server sends no digest; a registry's must be the one that was pushed.
fn check_digest(answered: &Option<String>, pushed: &Digest) -> Result<()> {
    if let Some(answered) = answered {
        ensure!(*answered == pushed.to_string(), "pushed {pushed}, the server stored {answered}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(layout: Layout) -> Target {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        Target { address, layout, repository: "a/b".to_owned(), processes: None }
    }

    #[test]
    fn paths_follow_the_layout() {
        let digest = Digest::sha256(b"");
        let hex = digest.hex();
        assert_eq!(target(Layout::Registry).manifest_path("v1"), "/v2/a/b/manifests/v1");
        assert_eq!(target(Layout::Registry).blob_path(&digest), format!("/v2/a/b/blobs/sha256:{hex}"));
        assert_eq!(
            target(Layout::Static).manifest_path(&digest.to_string()),
            format!("/manifests/sha256-{hex}")
        );
        assert_eq!(target(Layout::Static).blob_path(&digest), format!("/blobs/{hex}"));
    }

    #[test]
    fn the_digest_joins_a_query_that_is_there() {
        let digest = Digest::sha256(b"");
        assert_eq!(finish_path("/u/1?_state=x", &digest), format!("/u/1?_state=x&digest={digest}"));
        assert_eq!(finish_path("/u/1", &digest), format!("/u/1?digest={digest}"));
    }
}
