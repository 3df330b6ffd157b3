//! Two registries on one store: what one writes the other reads, deletes and collects.

use std::path::Path;
use std::time::Duration;

use wharfinger_oci::Digest;

use crate::corpus::{Corpus, HalfDone};
use crate::incumbent::DockerRegistry;
use crate::process::wait_until;
use crate::registry::Registry;
use crate::swift::SwiftCluster;
use crate::tree::Tree;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The wharfinger under test.
    Ours,
    /// Debian's docker-registry.
    Theirs,
}

impl Side {
    fn other(self) -> Side {
        match self {
            Side::Ours => Side::Theirs,
            Side::Theirs => Side::Ours,
        }
    }
}

/// The store that both work on.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// A directory.
    Directory(&'a Path),
    /// A container.
    Container(&'a SwiftCluster, &'a str),
}

/// What a store held, without uploads and without what only we write.
#[derive(Debug)]
pub struct Trees {
    /// After everything was pushed: names and bytes.
    pub pushed: Tree,
    /// After the deletes: names, and the bytes of links.
    pub deleted: Tree,
    /// After garbage-collect: names, and the bytes of links.
    pub collected: Tree,
}

impl Trees {
    /// Panics unless both hold the same, step by step.
    #[track_caller]
    pub fn assert_same(&self, other: &Trees) {
        let steps = [
            ("after the push", &self.pushed, &other.pushed),
            ("after the deletes", &self.deleted, &other.deleted),
            ("after garbage-collect", &self.collected, &other.collected),
        ];
        for (step, one, two) in steps {
            assert!(!one.names("/docker/").is_empty(), "{step}: nothing is there");
            let differences = one.differences(two);
            assert!(differences.is_empty(), "{step}:\n{}", differences.join("\n"));
        }
    }
}

impl Place<'_> {
    /// A running registry of that side.
    pub fn start(&self, side: Side) -> Registry {
        match (self, side) {
            (Place::Directory(root), Side::Ours) => Registry::builder().root(root).start(),
            (Place::Directory(root), Side::Theirs) => DockerRegistry::on(root),
            (Place::Container(swift, name), Side::Ours) => {
                Registry::builder().patient_swift(swift, name).start()
            }
            (Place::Container(swift, name), Side::Theirs) => DockerRegistry::on_swift(swift, name),
        }
    }

    /// Runs Distribution's garbage collection; returns what it printed.
    pub fn garbage_collect(&self) -> String {
        match self {
            Place::Directory(root) => DockerRegistry::garbage_collect(root, &[]),
            Place::Container(swift, name) => DockerRegistry::garbage_collect_swift(swift, name, &[]),
        }
    }

    /// Whether the store has bytes of this digest.
    pub fn has_blob(&self, digest: &Digest) -> bool {
        let hex = digest.hex();
        let name = format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
        match self {
            Place::Directory(root) => root.join(name).exists(),
            Place::Container(swift, container) => {
                swift.head(container, &format!("files/{name}")).status == 200
            }
        }
    }

    /// Everything that both know of, without uploads and empty directories.
    fn shared_tree(&self, whole: bool) -> Tree {
        let tree = match self {
            Place::Directory(root) => Tree::read(root),
            Place::Container(swift, name) => Tree::of_container(swift, name, whole),
        };
        tree.filter(|name| {
            name.starts_with("/docker/") && !name.contains("/_uploads/") && !name.ends_with('/')
        })
    }

    /// Whether Distribution can keep an empty blob here. On Swift it takes the object without segments for one whose
    /// segments are not yet listed, waits for them and fails.
    fn keeps_empty_blobs(&self) -> bool {
        matches!(self, Place::Directory(_))
    }
}

/// `writer` pushes, the other pulls and deletes beside it on the same store, then Distribution collects garbage:
/// nothing that is live may be touched. At the end what was collected is pushed once more, and the half-done upload is
/// ended.
#[track_caller]
pub fn exchange(corpus: &Corpus, place: Place<'_>, writer: Side) -> Trees {
    let (one, two) = (place.start(writer), place.start(writer.other()));
    let empty = if writer == Side::Theirs && !place.keeps_empty_blobs() { two.api() } else { one.api() };
    let half_done = corpus.push(&one.api(), &empty);
    let pushed = place.shared_tree(true);
    let before = corpus.pull(&one.api(), &[]);
    assert!(corpus.pull(&two.api(), &[]) == before, "the other registry pulls other bytes");
    assert_eq!(sorted(two.api().tags("shared/two")), ["doomed", "v1"]);
    assert_eq!(two.api().catalog(), corpus.repositories());

    let (doomed, oldest) = (corpus.doomed(), corpus.oldest());
    let oldest_reference = oldest.digest.to_string();
    let gone = ["doomed", &oldest_reference];
    delete_beside(corpus, &one, &two, &gone);
    let after: Vec<_> = before
        .into_iter()
        .filter(|pulled| ![doomed.digest, oldest.digest].contains(&pulled.digest))
        .collect();
    let deleted = place.shared_tree(false);

    drop((one, two));
    assert!(place.has_blob(&corpus.doomed_layer()), "a delete took bytes before the collection");
    let printed = place.garbage_collect();
    for digest in [corpus.doomed_layer(), oldest.digest] {
        assert!(!place.has_blob(&digest), "{digest} was not collected:\n{printed}");
    }
    let collected = place.shared_tree(false);
    let (one, two) = (place.start(writer), place.start(writer.other()));
    for registry in [&one, &two] {
        let pulled = corpus.pull(&registry.api(), &gone);
        assert!(pulled == after, "garbage-collect took something live:\n{printed}");
    }
    one.api().push_image("shared/two", "doomed", doomed);
    assert_eq!(two.api().pull("shared/two", "doomed").digest, doomed.digest);
    let digest = half_done.finish(&one.api());
    two.api().pull_blob(HalfDone::REPOSITORY, &digest);
    Trees { pushed, deleted, collected }
}

/// `two` deletes one image, a layer of it, and the oldest target of the moved tag; nothing else may change, seen from
/// either side.
#[track_caller]
fn delete_beside(corpus: &Corpus, one: &Registry, two: &Registry, gone: &[&str]) {
    let (doomed, oldest) = (corpus.doomed().digest, corpus.oldest().digest);
    let api = two.api();
    api.delete(&format!("/v2/shared/two/manifests/{doomed}")).expect(202);
    api.delete(&format!("/v2/shared/two/blobs/{}", corpus.doomed_layer())).expect(202);
    api.delete(&format!("/v2/moved/manifests/{oldest}")).expect(202);
    let after = corpus.look(&api, gone);
    for api in [one.api(), two.api()] {
        // A server may remember a tag for a moment.
        wait_until("the deleted tag to be gone", Duration::from_secs(5), || {
            api.get("/v2/shared/two/manifests/doomed").status == 404
        });
        api.get(&format!("/v2/shared/two/manifests/{doomed}")).expect(404);
        api.get(&format!("/v2/moved/manifests/{oldest}")).expect(404);
    }
    assert!(corpus.look(&one.api(), gone) == after, "a delete touched another image");
}

/// One side alone pushes and deletes, the target of a tag among it; then Distribution collects garbage.
#[track_caller]
pub fn life(corpus: &Corpus, place: Place<'_>, side: Side) -> Trees {
    let registry = place.start(side);
    let api = registry.api();
    corpus.push(&api, &api);
    let pushed = place.shared_tree(true);
    let doomed = corpus.doomed();
    api.delete(&format!("/v2/shared/two/manifests/{}", doomed.digest)).expect(202);
    api.delete(&format!("/v2/shared/two/blobs/{}", doomed.layers[1].digest)).expect(202);
    api.delete(&format!("/v2/moved/manifests/{}", corpus.newest().digest)).expect(202);
    let deleted = place.shared_tree(false);
    drop(registry);
    place.garbage_collect();
    Trees { pushed, deleted, collected: place.shared_tree(false) }
}

/// An upload begun by Distribution is a clean 404 at ours, and goes on where it was begun.
#[track_caller]
pub fn foreign_upload(place: Place<'_>) {
    let (ours, theirs) = (place.start(Side::Ours), place.start(Side::Theirs));
    let session = theirs.api().start_upload(HalfDone::REPOSITORY);
    let path = session.split('?').next().expect("a path");
    ours.api().get(path).expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    ours.api().patch(path, 0, b"abc").expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    let digest = Digest::sha256(b"abc");
    theirs.api().finish(&session, &digest.to_string(), b"abc").expect(201);
    assert_eq!(ours.api().pull_blob(HalfDone::REPOSITORY, &digest), b"abc");
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}
