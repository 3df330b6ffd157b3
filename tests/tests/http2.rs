//! Large pulls over HTTP/2, with TLS and without: complete with the right digest, or reset. Never cut short cleanly.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

use wharfinger_test_support::{Authority, Builder, Digest, Http2, Registry, StreamAnswer, StreamEnd, bytes};

const MIB: usize = 1 << 20;
/// A blob of some 200 MB that ends within a chunk.
const LARGE: usize = 200 * MIB + 12_345;

/// Registries that speak HTTP/2.
fn servers() -> [(&'static str, Builder); 2] {
    let h2c = Registry::builder().set("http.h2c.enabled", true);
    [("TLS", Registry::builder().tls(&Authority::new())), ("h2c", h2c)]
}

fn target(digest: &Digest) -> String {
    format!("/v2/large/blobs/{digest}")
}

fn flip(registry: &Registry, digest: &Digest, at: usize) {
    let file = OpenOptions::new().read(true).write(true).open(registry.blob_path(digest)).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at as u64).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at as u64).unwrap();
}

fn forget_indexes(registry: &Registry) {
    fs::remove_dir_all(registry.root().join("wharfinger/v1/chunks")).unwrap();
}

/// A 200 that was reset after nothing but right bytes, fewer than `limit`.
#[track_caller]
fn assert_reset(what: &str, answer: &StreamAnswer, content: &[u8], limit: usize) {
    assert_eq!(answer.status, 200, "{what}");
    let received = usize::try_from(answer.received).unwrap();
    assert!(matches!(answer.end, StreamEnd::Reset(_)), "{what}: after {received} bytes: {:?}", answer.end);
    assert!(received < limit, "{what}: {received} bytes came");
    assert_eq!(answer.digest, Digest::sha256(&content[..received]), "{what}: wrong bytes before the reset");
}

/// Whole and in ranges, every byte.
fn comes_whole(what: &str, connection: &mut Http2, digest: &Digest, content: &[u8]) {
    let answer = connection.get(&target(digest), &[]);
    assert_eq!((answer.status, answer.end), (200, StreamEnd::Complete), "{what}");
    assert_eq!((answer.received, answer.digest), (content.len() as u64, *digest), "{what}");
    assert_eq!(answer.headers["content-length"], content.len().to_string().as_str(), "{what}");
    for (first, last) in [(0, 0), (MIB - 1, 60 * MIB), (content.len() - 100, content.len() - 1)] {
        let answer = connection.get(&target(digest), &[("range", &format!("bytes={first}-{last}"))]);
        assert_eq!((answer.status, answer.end), (206, StreamEnd::Complete), "{what}");
        assert_eq!(answer.digest, Digest::sha256(&content[first..=last]), "{what}: {first}-{last}");
    }
}

#[test]
fn a_large_blob_comes_whole_and_once_damaged_in_mid_file_its_stream_is_reset_and_no_other() {
    let (content, sound) = (bytes(2, LARGE), bytes(3, 20 * MIB));
    let damaged = 120 * MIB + 77;
    for (what, builder) in servers() {
        let registry = builder.allow_log("damaged").allow_log("broken off").start();
        let digest = registry.api().push_blob("large", &content);
        let other = registry.api().push_blob("large", &sound);
        let mut connection = Http2::connect(registry.client());
        comes_whole(what, &mut connection, &digest, &content);
        flip(&registry, &digest, damaged);
        let answers = connection.get_all(&[target(&digest), target(&other)]);
        // What is checked chunk by chunk ends before the chunk that is wrong.
        assert_reset(what, &answers[0], &content, damaged);
        assert_eq!((&answers[1].end, answers[1].digest), (&StreamEnd::Complete, other), "{what}");
        let again = connection.get(&target(&other), &[]);
        assert_eq!(
            (again.end, again.digest),
            (StreamEnd::Complete, other),
            "{what}: the connection ended too"
        );
        let told = registry.log().into_iter().filter(|line| line.text.contains("broken off"));
        let told: Vec<_> = told.map(|line| (line.level(), line.field("vars.digest"))).collect();
        assert_eq!(told, [("error".to_owned(), digest.to_string())], "{what}");
        let head = registry.api().head(&target(&digest));
        assert_eq!(head.status, 404, "{what}: a damaged blob must look missing, so that a push mends it");
    }
}

#[test]
fn a_damaged_blob_without_an_index_is_reset_before_its_end() {
    let content = bytes(4, 30 * MIB + 5);
    for (what, builder) in servers() {
        let mut registry = builder.allow_log("").start();
        let digest = registry.api().push_blob("large", &content);
        registry.stop();
        forget_indexes(&registry);
        flip(&registry, &digest, 29 * MIB);
        registry.start_again();
        let answer = Http2::connect(registry.client()).get(&target(&digest), &[]);
        assert!(matches!(answer.end, StreamEnd::Reset(_)), "{what}: {:?}", answer.end);
        assert!(answer.received < content.len() as u64, "{what}: every byte came");
    }
}

#[test]
fn a_file_that_was_cut_resets_the_stream() {
    let content = bytes(5, 30 * MIB);
    for (what, builder) in servers() {
        let registry = builder.allow_log("").start();
        let digest = registry.api().push_blob("large", &content);
        let file = OpenOptions::new().write(true).open(registry.blob_path(&digest)).unwrap();
        let mut connection = Http2::connect(registry.client());
        file.set_len(17 * MIB as u64 + 3).unwrap();
        let answer = connection.get(&target(&digest), &[]);
        // Its size tells at once; what was open before is cut where the file ends.
        if answer.status == 200 {
            assert_reset(what, &answer, &content, 18 * MIB);
        } else {
            assert!(answer.status >= 400, "{what}: {}", answer.status);
        }
    }
}

#[test]
fn a_large_blob_is_pushed_over_http_2() {
    let content = bytes(6, 40 * MIB + 1);
    let digest = Digest::sha256(&content);
    for (what, builder) in servers() {
        let registry = builder.start();
        let mut connection = Http2::connect(registry.client());
        let upload = format!("/v2/large/blobs/uploads/?digest={digest}");
        let answer = connection.send("POST", &upload, &content);
        assert_eq!((answer.status, answer.end), (201, StreamEnd::Complete), "{what}");
        assert_eq!(connection.get(&target(&digest), &[]).digest, digest, "{what}");
    }
}

#[cfg(feature = "full")]
#[test]
fn curl_gets_the_blob_or_a_failure() {
    use std::time::Duration;

    use wharfinger_test_support::{Process, system_tool};

    /// CURLE_HTTP2_STREAM.
    const STREAM_ERROR: i32 = 92;
    let (content, authority) = (bytes(7, 50 * MIB), Authority::new());
    let secure = Registry::builder().tls(&authority);
    let plain = Registry::builder().set("http.h2c.enabled", true);
    for (scheme, version, builder) in
        [("https", "--http2", secure), ("http", "--http2-prior-knowledge", plain)]
    {
        let registry = builder.allow_log("damaged").allow_log("broken off").start();
        let digest = registry.api().push_blob("large", &content);
        let work = tempfile::tempdir().unwrap();
        fs::write(work.path().join("ca.pem"), authority.pem()).unwrap();
        let curl = || {
            let mut command = system_tool("curl").command();
            command.current_dir(work.path()).args([version, "-sS", "--cacert", "ca.pem", "-o", "blob", "-w"]);
            command.args(["HTTP/%{http_version} %{http_code}\n", "--max-time", "120"]);
            command.arg(format!("{scheme}://{}{}", registry.address(), target(&digest)));
            let mut process = Process::spawn(&mut command, &work.path().join("output"));
            let status = process.wait(Duration::from_secs(150)).expect("curl ends");
            (status.code(), process.output())
        };
        let (status, output) = curl();
        assert_eq!(status, Some(0), "{output}");
        assert!(output.contains("HTTP/2 200"), "{output}");
        assert_eq!(Digest::sha256(&fs::read(work.path().join("blob")).unwrap()), digest);
        flip(&registry, &digest, 40 * MIB);
        let (status, output) = curl();
        assert_eq!(status, Some(STREAM_ERROR), "{output}");
        let got = fs::read(work.path().join("blob")).unwrap();
        assert!(got.len() <= 40 * MIB && got == content[..got.len()], "{} bytes", got.len());
    }
}
