//! One directory, two registries: Distribution 2.8.2 reads, deletes and collects what we wrote, and the other way.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::path::Path;
use std::time::Duration;

use wharfinger_test_support::{
    Api, Blob, Digest, DockerRegistry, Image, Index, Pulled, Registry, Style, Tree, bytes, wait_until,
};

const MIB: usize = 1 << 20;

/// What is pushed in every direction.
struct Corpus {
    images: Vec<(&'static str, &'static str, Image)>,
    indexes: Vec<(&'static str, &'static str, Index)>,
    moved: Vec<Image>,
}

impl Corpus {
    fn new() -> Corpus {
        let shared = Blob::seeded(1, 3 * MIB);
        let sizes = [0, 1, 20 * MIB - 1, 20 * MIB, 20 * MIB + 1, 200 * MIB];
        let sizes = sizes.iter().enumerate().map(|(i, size)| Blob::seeded(10 + i as u64, *size)).collect();
        let with_shared =
            |seed| Image::of(Style::Oci, "amd64", vec![shared.clone(), Blob::seeded(seed, 100_000)]);
        Corpus {
            images: vec![
                ("sizes", "all", Image::of(Style::Oci, "amd64", sizes)),
                ("shared/one", "v1", with_shared(20)),
                ("shared/two", "v1", with_shared(21)),
                ("shared/two", "doomed", with_shared(22)),
                ("layers", "thirty", Image::layered(Style::Docker, 30, 30, 50_000)),
            ],
            indexes: vec![
                ("multi/docker", "latest", Index::two_platforms(Style::Docker, 40)),
                ("multi/oci", "latest", Index::two_platforms(Style::Oci, 50)),
            ],
            moved: (60..64).map(Image::small).collect(),
        }
    }

    fn push(&self, api: &Api) {
        for (repository, tag, image) in &self.images {
            api.push_image(repository, tag, image);
        }
        for (repository, tag, index) in &self.indexes {
            api.push_index(repository, tag, index);
        }
        for image in &self.moved {
            api.push_image("moved", "latest", image);
        }
        let session = api.start_upload("half/done");
        api.patch(&session, 0, &bytes(70, 2 * MIB)).expect(202);
    }

    /// Every image by its tag, and the former targets of the moved tag by digest.
    fn references(&self) -> Vec<(String, String)> {
        let images = self.images.iter().map(|(repository, tag, _)| (*repository, (*tag).to_owned()));
        let indexes = self.indexes.iter().map(|(repository, tag, _)| (*repository, (*tag).to_owned()));
        let moved = self.moved.iter().map(|image| ("moved", image.digest.to_string()));
        let references = images.chain(indexes).chain(moved).chain([("moved", "latest".to_owned())]);
        references.map(|(repository, reference)| (repository.to_owned(), reference)).collect()
    }

    fn doomed(&self) -> &Image {
        &self.images[3].2
    }

    /// Pulls everything that is not deleted.
    fn pull(&self, api: &Api, deleted: &[&str]) -> Vec<Pulled> {
        let references = self.references();
        let live = references.iter().filter(|(_, reference)| !deleted.contains(&reference.as_str()));
        live.map(|(repository, reference)| api.pull(repository, reference)).collect()
    }

    /// As [`Corpus::pull`], but only asks for the large blobs instead of reading them once more.
    fn look(&self, api: &Api, deleted: &[&str]) -> Vec<Pulled> {
        let (_, _, sizes) = &self.images[0];
        for blob in sizes.blobs() {
            let head = api.head(&format!("/v2/sizes/blobs/{}", blob.digest)).expect(200);
            assert_eq!(head.required("content-length"), blob.size.to_string());
        }
        self.pull(api, &[deleted, &["all"]].concat())
    }
}

#[test]
fn distribution_reads_deletes_and_collects_what_we_wrote() {
    exchange(|root| Registry::builder().root(root).start(), DockerRegistry::on);
}

#[test]
fn we_read_and_delete_what_distribution_wrote() {
    exchange(DockerRegistry::on, |root| Registry::builder().root(root).start());
}

/// `writer` pushes, `reader` pulls and deletes beside it on the same directory, then 2.8.2 collects garbage.
fn exchange(writer: impl Fn(&Path) -> Registry, reader: impl Fn(&Path) -> Registry) {
    let (corpus, directory) = (Corpus::new(), tempfile::tempdir().unwrap());
    let root = directory.path();
    let (one, two) = (writer(root), reader(root));
    corpus.push(&one.api());
    let before = corpus.pull(&one.api(), &[]);
    assert!(corpus.pull(&two.api(), &[]) == before, "the other registry pulls other bytes");
    assert_eq!(sorted(two.api().tags("shared/two")), ["doomed", "v1"]);
    assert_eq!(
        two.api().catalog(),
        ["layers", "moved", "multi/docker", "multi/oci", "shared/one", "shared/two", "sizes"]
    );

    // The reader deletes one image and the oldest target of the moved tag; nothing else may change.
    let oldest = &corpus.moved[0];
    let doomed = corpus.doomed();
    two.api().delete(&format!("/v2/shared/two/manifests/{}", doomed.digest)).expect(202);
    two.api().delete(&format!("/v2/shared/two/blobs/{}", doomed.layers[1].digest)).expect(202);
    two.api().delete(&format!("/v2/moved/manifests/{}", oldest.digest)).expect(202);
    let oldest_reference = oldest.digest.to_string();
    let deleted = ["doomed", &oldest_reference];
    let gone = [doomed.digest, oldest.digest];
    let after = corpus.look(&two.api(), &deleted);
    for api in [one.api(), two.api()] {
        // A server may remember a tag for a moment.
        wait_until("the deleted tag to be gone", Duration::from_secs(5), || {
            api.get("/v2/shared/two/manifests/doomed").status == 404
        });
        api.get(&format!("/v2/shared/two/manifests/{}", doomed.digest)).expect(404);
        api.get(&format!("/v2/moved/manifests/{}", oldest.digest)).expect(404);
    }
    assert!(corpus.look(&one.api(), &deleted) == after, "a delete touched another image");
    let after: Vec<_> = before.into_iter().filter(|pulled| !gone.contains(&pulled.digest)).collect();

    drop((one, two));
    let blob = |digest: &Digest| {
        root.join(format!("docker/registry/v2/blobs/sha256/{}/{}/data", &digest.hex()[..2], digest.hex()))
    };
    assert!(blob(&doomed.layers[1].digest).exists(), "a delete took bytes before the collection");
    let printed = DockerRegistry::garbage_collect(root, &[]);
    assert!(!blob(&doomed.layers[1].digest).exists(), "nothing was collected:\n{printed}");
    assert!(!blob(&oldest.digest).exists(), "the manifest was not collected:\n{printed}");
    for registry in [writer(root), reader(root)] {
        assert!(
            corpus.pull(&registry.api(), &deleted) == after,
            "garbage-collect took something live:\n{printed}"
        );
    }
}

#[test]
fn both_write_the_same_names_and_bytes() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let corpus = Corpus::new();
    let trees = [
        life(&corpus, ours.path(), Registry::builder().root(ours.path()).start()),
        life(&corpus, theirs.path(), DockerRegistry::on(theirs.path())),
    ];
    for (at, what) in ["after the push", "after the deletes", "after garbage-collect"].iter().enumerate() {
        let differences = trees[1][at].differences(&trees[0][at]);
        assert!(differences.is_empty(), "{what}, against Distribution's tree:\n{}", differences.join("\n"));
    }
    let beside = Tree::read(ours.path());
    let strange =
        beside.filter(|name| !name.starts_with("/docker/registry/v2/") && !name.starts_with("/wharfinger/"));
    assert!(strange.names("/").is_empty(), "files outside both trees: {strange:?}");
}

/// Push, delete, collect on one directory; the tree after each step, without uploads and empty directories.
fn life(corpus: &Corpus, root: &Path, registry: Registry) -> [Tree; 3] {
    let read = || {
        Tree::read(root).filter(|name| {
            name.starts_with("/docker/") && !name.contains("/_uploads/") && !name.ends_with('/')
        })
    };
    let api = registry.api();
    corpus.push(&api);
    let pushed = read();
    let doomed = corpus.doomed();
    api.delete(&format!("/v2/shared/two/manifests/{}", doomed.digest)).expect(202);
    api.delete(&format!("/v2/shared/two/blobs/{}", doomed.layers[1].digest)).expect(202);
    api.delete(&format!("/v2/moved/manifests/{}", corpus.moved[3].digest)).expect(202);
    let deleted = read();
    drop(registry);
    DockerRegistry::garbage_collect(root, &[]);
    [pushed, deleted, read()]
}

#[test]
fn an_upload_left_half_done_by_one_is_a_clean_404_at_the_other() {
    let directory = tempfile::tempdir().unwrap();
    let ours = Registry::builder().root(directory.path()).start();
    let theirs = DockerRegistry::on(directory.path());
    let session = theirs.api().start_upload("half/done");
    let path = session.split('?').next().unwrap();
    ours.api().get(path).expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    ours.api().patch(path, 0, b"abc").expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    // And it goes on where it was begun.
    let digest = Digest::sha256(b"abc");
    theirs.api().finish(&session, &digest.to_string(), b"abc").expect(201);
    assert_eq!(ours.api().pull_blob("half/done", &digest), b"abc");
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}
