//! What a walk over a large directory costs: 200 repositories of 20 tags with 20,000 blobs, and many large ones.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use wharfinger_oci::{Algorithm, Digest, Hasher};
use wharfinger_test_support::{
    Blob, Image, Style, blob_key, bytes, repository_key, system_tool, wharfinger_binary,
};

const REPOSITORIES: u64 = 200;
const TAGS: u64 = 20;
/// With its config, each image has five blobs of its own.
const LAYERS: u64 = 4;

/// Writes a registry's directory, as Distribution would have left it.
fn write(root: &Path) {
    let put = |key: &str, content: &[u8]| {
        let path = root.join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    for repository in 0..REPOSITORIES {
        let name = format!("team/app-{repository}");
        for tag in 0..TAGS {
            let seed = (repository * TAGS + tag) * LAYERS;
            let layers = (0..LAYERS).map(|layer| Blob::new(bytes(seed + layer, 200))).collect();
            let image = Image::of(Style::Docker, "amd64", layers);
            for blob in image.blobs() {
                put(&blob_key(&blob.digest), &blob.bytes());
                let link = format!("_layers/sha256/{}/link", blob.digest.hex());
                put(&repository_key(&name, &link), blob.digest.to_string().as_bytes());
            }
            let (hex, text) = (image.digest.hex(), image.digest.to_string());
            put(&blob_key(&image.digest), &image.manifest);
            let places = [
                format!("_manifests/revisions/sha256/{hex}/link"),
                format!("_manifests/tags/v{tag}/index/sha256/{hex}/link"),
                format!("_manifests/tags/v{tag}/current/link"),
            ];
            for place in places {
                put(&repository_key(&name, &place), text.as_bytes());
            }
        }
    }
}

/// Runs a command; answers the processor time and the time that it took.
fn cost(program: &Path, arguments: &[&str]) -> (Duration, Duration) {
    let script = "\"$0\" \"$@\" >\"$OUT\" 2>&1 || exit 9; times";
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    let started = Instant::now();
    let output = Command::new("bash")
        .args(["-c", script])
        .arg(program)
        .args(arguments)
        .env("OUT", &out)
        .env("XDG_STATE_HOME", directory.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", fs::read_to_string(&out).unwrap_or_default());
    // The second line is about those that it ran: user and system.
    let seconds = |text: &str| {
        let (minutes, seconds) = text.trim_end_matches('s').split_once('m').unwrap();
        minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap()
    };
    let spent: f64 = told.lines().nth(1).unwrap().split(' ').map(seconds).sum();
    (Duration::from_secs_f64(spent), started.elapsed())
}

fn config(directory: &Path, root: &Path) -> String {
    let file = directory.join("config.yml");
    let text = format!(
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:5000\n",
        root.display()
    );
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

/// The quickest of several runs, each beside one of Distribution's over the same directory.
fn compare_with_the_incumbent(runs: usize) -> (Duration, Duration) {
    // In memory, where there is such a place: what is measured is the processor, and 56,000 files are quickly made.
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let directory = tempfile::Builder::new().prefix("wharfinger-scale-").tempdir_in(parent).unwrap();
    let root = directory.path().join("data");
    write(&root);
    let config = config(directory.path(), &root);
    let incumbent = system_tool("docker-registry").path;
    let (mut ours, mut theirs) = (Duration::MAX, Duration::MAX);
    for _ in 0..runs {
        ours = ours.min(cost(&wharfinger_binary(), &["fsck", "--config", &config]).0);
        theirs = theirs.min(cost(&incumbent, &["garbage-collect", "--dry-run", &config]).0);
    }
    println!(
        "fsck of 20,000 blobs: {:.2} s of CPU, garbage-collect --dry-run of Distribution {:.2} s: {:.2} x",
        ours.as_secs_f64(),
        theirs.as_secs_f64(),
        ours.as_secs_f64() / theirs.as_secs_f64()
    );
    (ours, theirs)
}

#[test]
fn a_walk_over_twenty_thousand_blobs_is_cheap() {
    let (ours, theirs) = compare_with_the_incumbent(1);
    // This may be a debug build on a busy machine; cargo xtask matrix holds the release to its goal.
    assert!(ours < theirs * 8, "{ours:?} against {theirs:?}");
}

#[test]
#[ignore = "a release build on a quiet machine: cargo xtask matrix runs it"]
fn a_walk_over_twenty_thousand_blobs_takes_a_second_at_most() {
    let (ours, _) = compare_with_the_incumbent(5);
    assert!(ours <= Duration::from_secs(1), "{ours:?}");
}

/// Hashes all files on all cores, as fast as that goes.
fn hash_all(files: &[std::path::PathBuf]) -> Duration {
    let (started, next) = (Instant::now(), std::sync::atomic::AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    let mut hasher = Hasher::new(Algorithm::Sha256);
                    hasher.update(&fs::read(file).unwrap());
                    hasher.finish();
                }
            });
        }
    });
    started.elapsed()
}

#[test]
#[ignore = "a release build on a quiet machine: cargo xtask matrix runs it"]
fn a_deep_walk_goes_at_nine_tenths_of_the_rate_of_the_hash() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("data");
    let mut files = Vec::new();
    for seed in 0..24 {
        let content = bytes(seed, 64 << 20);
        let path = root.join(blob_key(&Digest::sha256(&content)));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        files.push(path);
    }
    let config = config(directory.path(), &root);
    let (mut ours, mut hash) = (Duration::MAX, Duration::MAX);
    for _ in 0..3 {
        hash = hash.min(hash_all(&files));
        ours = ours.min(cost(&wharfinger_binary(), &["fsck", "--deep", "--config", &config]).1);
    }
    let share = hash.as_secs_f64() / ours.as_secs_f64();
    println!(
        "fsck --deep of 1.5 GiB: {:.2} s, SHA-256 alone {:.2} s: {share:.2} of its rate",
        ours.as_secs_f64(),
        hash.as_secs_f64()
    );
    assert!(share >= 0.9, "{ours:?} against {hash:?}");
}
