//! The corruption matrix on a directory: each kind of object harmed in each way, told, left alone, and mended.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use wharfinger_test_support::{BrokenRecords, Ground, Harm, Matrix, Registry, Rng, Tree, pause};

const HARMS: [Harm; 6] =
    [Harm::Missing, Harm::Empty, Harm::Truncated, Harm::Flipped, Harm::Swapped, Harm::Unreadable];

/// A registry whose log tells of harm.
fn harmed() -> Registry {
    Registry::builder().allow_harm().start()
}

/// What the server writes by itself is not meant: its probe, its socket, its records.
fn tree(ground: Ground<'_>) -> Tree {
    ground.tree().without_own().filter(|name| !name.starts_with("/wharfinger/v1/audit"))
}

#[test]
fn each_kind_of_harm_is_told_and_mended_from_a_backup_and_nothing_else_changes() {
    let (backup, mut registry) = (Registry::start(), harmed());
    let matrix = Matrix::push(&registry.api(), &backup.api(), &HARMS, false);
    let root = registry.root().to_owned();
    let ground = Ground::Directory(&root);
    let well = tree(ground);
    matrix.harm(ground);
    // What it has in memory is right, and would be served.
    registry.stop();
    registry.start_again();
    let harmed = tree(ground);
    let operator = registry.operator();
    let from = ["--backup", backup.root().to_str().unwrap()];

    let (code, report) = operator.json(&["fsck", "--deep"]);
    assert_eq!(code, 1);
    matrix.assert_told(&report);
    matrix.assert_impact(&operator);
    matrix.assert_diagnosed(&operator);
    let (code, plan) = operator.json(&[&["heal", "--dry-run", "--deep"], &from[..]].concat());
    assert_eq!((code, plan["dry_run"].as_bool()), (1, Some(true)));
    assert_eq!(harmed.changed(&tree(ground)), BTreeSet::new(), "who only looks changes nothing");

    let healed = operator.run(&[&["heal", "--deep"], &from[..]].concat());
    assert_eq!(healed.code, 1, "links that may have been deleted on purpose are left: {healed:?}");
    assert_eq!(well.changed(&tree(ground)), matrix.lasting(&well, &harmed, false), "{healed:?}");
    let (_, report) = operator.json(&["fsck", "--deep"]);
    matrix.assert_left(&report, false);

    operator.run(&[&["heal", "--deep", "--relink"], &from[..]].concat());
    let (code, report) = operator.json(&["fsck", "--deep"]);
    assert_eq!(code, 2, "what cannot be read is all that is left");
    matrix.assert_left(&report, true);
    let again = tree(ground);
    operator.run(&[&["heal", "--deep", "--relink"], &from[..]].concat());
    assert_eq!(again.changed(&tree(ground)), BTreeSet::new(), "a second run finds nothing to do");
    matrix.assert_mended(&registry.api());
}

#[test]
fn records_that_cannot_be_read_are_of_note_and_hurt_nobody() {
    let registry = harmed();
    BrokenRecords::write(&registry, Ground::Directory(registry.root())).assert_of_note(&registry);
}

#[test]
fn walks_and_repairs_that_are_killed_converge() {
    let (backup, mut registry) = (Registry::start(), harmed());
    let harms = [Harm::Missing, Harm::Empty, Harm::Truncated, Harm::Flipped, Harm::Swapped];
    let matrix = Matrix::push(&registry.api(), &backup.api(), &harms, false);
    let root = registry.root().to_owned();
    let ground = Ground::Directory(&root);
    let well = tree(ground);
    matrix.harm(ground);
    registry.stop();
    registry.start_again();
    let harmed = tree(ground);
    let operator = registry.operator();
    let from = ["--backup", backup.root().to_str().unwrap()];
    let mut rng = Rng::from_environment("when the commands are killed");
    for _ in 0..3 {
        for arguments in [&["fsck", "--deep"][..], &[&["heal", "--deep", "--relink"], &from[..]].concat()] {
            let mut command = operator.command(arguments);
            let mut running = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            pause(Duration::from_millis(20 + rng.below(2_500)));
            let _ = running.kill();
            running.wait().unwrap();
        }
    }
    let healed = operator.run(&[&["heal", "--deep", "--relink"], &from[..]].concat());
    assert_eq!(healed.code, 0, "{healed:?}");
    let left = matrix.lasting(&well, &harmed, true);
    // A session that heal was killed in is swept as those of clients are.
    let mended = tree(ground)
        .filter(|name| !name.starts_with("/wharfinger/v1/uploads") && !name.starts_with("/wharfinger/tmp"));
    let left: BTreeSet<String> =
        left.into_iter().filter(|name| !name.starts_with("/wharfinger/v1/uploads")).collect();
    let well = well.filter(|name| !name.starts_with("/wharfinger/v1/uploads"));
    assert_eq!(well.changed(&mended), left);
    matrix.assert_mended(&registry.api());
}

#[test]
fn no_harm_goes_out_as_a_clean_answer() {
    let (backup, mut registry) = (Registry::start(), harmed());
    let matrix = Matrix::push(&registry.api(), &backup.api(), &HARMS, false);
    let root = registry.root().to_owned();
    matrix.harm(Ground::Directory(&root));
    registry.stop();
    registry.start_again();
    matrix.assert_pulled(&registry.api());
    // The server has seen the harm, and withholds blobs: they are offered again once they are mended.
    let operator = registry.operator();
    let from = ["--backup", backup.root().to_str().unwrap()];
    operator.run(&[&["heal", "--deep", "--relink"], &from[..]].concat());
    matrix.assert_mended(&registry.api());
}
