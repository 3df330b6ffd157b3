//! One directory, two registries: Distribution 2.8.2 reads, deletes and collects what we wrote, and the other way.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use wharfinger_test_support::{Corpus, Place, Side, Tree, exchange, foreign_upload, life};

#[test]
fn distribution_reads_deletes_and_collects_what_we_wrote() {
    let directory = tempfile::tempdir().unwrap();
    exchange(&Corpus::new(), Place::Directory(directory.path()), Side::Ours);
}

#[test]
fn we_read_and_delete_what_distribution_wrote() {
    let directory = tempfile::tempdir().unwrap();
    exchange(&Corpus::new(), Place::Directory(directory.path()), Side::Theirs);
}

#[test]
fn both_write_the_same_names_and_bytes() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let corpus = Corpus::new();
    let left = life(&corpus, Place::Directory(theirs.path()), Side::Theirs);
    left.assert_same(&life(&corpus, Place::Directory(ours.path()), Side::Ours));
    let strange = Tree::read(ours.path())
        .filter(|name| !name.starts_with("/docker/registry/v2/") && !name.starts_with("/wharfinger/"));
    assert!(strange.names("/").is_empty(), "files outside both trees: {strange:?}");
}

#[test]
fn an_upload_left_half_done_by_one_is_a_clean_404_at_the_other() {
    let directory = tempfile::tempdir().unwrap();
    foreign_upload(Place::Directory(directory.path()));
}
