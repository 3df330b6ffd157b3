//! What tests on a hostile Swift share.

use std::future::poll_fn;

use wharfinger_fake_swift::{FakeSwift, Options};
use wharfinger_oci::{Digest, RepositoryName};
use wharfinger_registry::{Frame, FrameKind, Registry};
use wharfinger_store::Swift;
use wharfinger_store::swift::{LargeObjects, SwiftOptions};
use wharfinger_swift::{Auth, Client, Secret};

pub(crate) const CONTAINER: &str = "registry";

/// A store with segments of a mebibyte; each request is tried so often at most.
pub(crate) fn store(swift: &FakeSwift, attempts: u32) -> Swift {
    let user = Options::default().users[0].clone();
    let auth = Auth::V1 { url: swift.auth_url(), user: user.name, key: Secret::new(&user.key) };
    let mut options = wharfinger_swift::Options::new(auth);
    options.retry.attempts = attempts;
    let store = SwiftOptions {
        container: CONTAINER.to_owned(),
        prefix: String::new(),
        segment_size: 1024 * 1024,
        large: LargeObjects::Auto,
        writable: true,
        signing: None,
    };
    Swift::new(Client::new(options).unwrap(), store).unwrap()
}

/// Pulls a whole blob.
#[allow(dead_code, reason = "not every test pulls blobs")]
pub(crate) async fn pull(registry: &Registry, name: &RepositoryName, digest: &Digest) -> Vec<u8> {
    let blob = registry.blob(name, digest).await.unwrap();
    let whole = 0..blob.size;
    let mut body = registry.read_blob(blob, whole, FrameKind::Copied).await.unwrap();
    let mut all = Vec::new();
    while let Some(frame) = poll_fn(|context| body.poll_frame(context)).await {
        match frame.unwrap() {
            Frame::Copied(bytes) | Frame::Mapped(_, bytes) => all.extend_from_slice(&bytes),
        }
    }
    all
}
