//! The Debian package and the container image: made, installed beside the real system, run, and removed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use wharfinger_test_support::{
    Client, Process, Registry, Request, free_port, run_tool, system_tool, target_directory, try_tool,
};

/// Exposure, in tenths, that `systemd-analyze security` may find: up to 2.0 is its "OK".
const EXPOSURE: &str = "20";

/// The packages, made once for all tests here.
fn packages() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages");
        let _ = fs::remove_dir_all(&directory);
        let xtask = target_directory().join("debug/xtask");
        assert!(xtask.exists(), "{} is missing: run `cargo build -p xtask` first", xtask.display());
        run_tool(Command::new(xtask).args(["dist", "--debug", "--output"]).arg(&directory));
        directory
    })
}

fn package() -> PathBuf {
    let entries = fs::read_dir(packages()).unwrap().map(|entry| entry.unwrap().path());
    let mut found = entries.filter(|path| path.extension().is_some_and(|end| end == "deb"));
    found.next().expect("a package")
}

/// The package's files in a directory, without its scripts.
fn unpack(root: &Path) {
    run_tool(system_tool("dpkg-deb").command().arg("-x").arg(package()).arg(root));
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs dpkg on a root of its own; nothing of the real system is touched.
fn dpkg(root: &Path, arguments: &[&str]) -> String {
    let mut command = system_tool("dpkg").command();
    command.arg(format!("--root={}", root.display())).args(["--force-depends", "--force-script-chrootless"]);
    // dpkg wants to find what its scripts may call.
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    run_tool(command.args(arguments))
}

/// A directory in which dpkg can install.
fn empty_system() -> tempfile::TempDir {
    let work = tempfile::tempdir().unwrap();
    for directory in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "etc"] {
        fs::create_dir_all(work.path().join(directory)).unwrap();
    }
    fs::write(work.path().join("var/lib/dpkg/status"), "").unwrap();
    work
}

#[test]
fn the_package_is_installed_runs_and_leaves_the_images_when_purged() {
    if !is_root() || !Path::new("/usr/bin/systemd-sysusers").exists() {
        println!("NOT RUN: installing a package needs root and systemd-sysusers");
        return;
    }
    let work = empty_system();
    let root = work.path();
    dpkg(root, &["--install", package().to_str().unwrap()]);

    let users = fs::read_to_string(root.join("etc/passwd")).unwrap();
    let user = users.lines().find(|line| line.starts_with("wharfinger:")).expect("the service's user");
    let id: u32 = user.split(':').nth(2).unwrap().parse().unwrap();
    let data = fs::metadata(root.join("var/lib/wharfinger")).unwrap();
    assert_eq!((data.uid(), data.permissions().mode() & 0o7777), (id, 0o750));
    let config = fs::metadata(root.join("etc/wharfinger/config.yml")).unwrap();
    assert_eq!((config.uid(), config.gid(), config.mode() & 0o7777), (0, id, 0o640));
    let wanted = |unit: &str| root.join("etc/systemd/system").join(unit).is_symlink();
    assert!(wanted("multi-user.target.wants/wharfinger.service"), "the service is not enabled");
    assert!(!wanted("sockets.target.wants/wharfinger.socket"), "the socket is enabled");

    let (program, config) = (root.join("usr/bin/wharfinger"), root.join("etc/wharfinger/config.yml"));
    serve_installed(&program, &config, &root.join("var/lib/wharfinger"));
    assert!(!root.join(DROP_IN).exists(), "there was no docker-registry to stand in for");
    assert_eq!(dpkg(root, &["--verify", "wharfinger"]), "", "files differ from their checksums");

    // An upgrade to the same version keeps what the administrator has decided.
    fs::set_permissions(root.join("etc/wharfinger/config.yml"), fs::Permissions::from_mode(0o600)).unwrap();
    dpkg(root, &["--install", package().to_str().unwrap()]);
    let config = fs::metadata(root.join("etc/wharfinger/config.yml")).unwrap();
    assert_eq!(config.mode() & 0o7777, 0o600);

    let said = dpkg(root, &["--purge", "wharfinger"]);
    assert!(said.contains("the images in") && said.contains("stay"), "{said}");
    assert!(root.join("var/lib/wharfinger/docker").exists(), "a purge took the images");
    for gone in ["etc/wharfinger", "usr/bin/wharfinger", "lib/systemd/system/wharfinger.service"] {
        assert!(!root.join(gone).exists(), "{gone} is left behind");
    }
    assert!(!wanted("multi-user.target.wants/wharfinger.service"), "the service is still enabled");
}

/// Runs the installed program with a configuration, on images in the root that it lies in.
fn serve_installed(program: &Path, config: &Path, images: &Path) {
    let said = run_tool(Command::new(program).args(["config", "check"]).arg(config));
    assert!(said.contains("0 warnings"), "{said}");
    let work = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut command = Command::new(program);
    command.arg("serve").arg(config).env("REGISTRY_HTTP_ADDR", format!("127.0.0.1:{port}"));
    command.env("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", images);
    let socket = work.path().join("admin.sock");
    command.env("REGISTRY_ADMIN_SOCKET", &socket);
    let mut process = Process::spawn(&mut command, &work.path().join("log"));
    let client = Client::plain(port);
    process.wait_ready(Duration::from_secs(20), || client.send(&Request::new("GET", "/v2/")).is_ok());
    wharfinger_test_support::Api::new(client).push_blob("installed", b"content");
    run_tool(Command::new(program).args(["status", "--socket"]).arg(&socket));
    assert!(process.terminate(Duration::from_secs(10)).expect("an end").success());
    let log = process.output();
    assert!(!log.contains("level=warn") && !log.contains("level=error"), "{log}");
}

/// What makes the service take the place of docker-registry.
const DROP_IN: &str = "etc/systemd/system/wharfinger.service.d/docker-registry.conf";

/// A package that is to dpkg what Debian's docker-registry is: the same name, program and configuration file.
fn docker_registry(work: &Path) -> PathBuf {
    let root = work.join("docker-registry");
    for directory in ["DEBIAN", "etc/docker/registry", "usr/bin"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    let control = "Package: docker-registry\nVersion: 2.8.2+ds1-1\nArchitecture: all\nMaintainer: a test <a@test>\n\
                   Description: stand-in of a test\n";
    fs::write(root.join("DEBIAN/control"), control).unwrap();
    fs::write(root.join("DEBIAN/conffiles"), "/etc/docker/registry/config.yml\n").unwrap();
    fs::write(root.join("usr/bin/docker-registry"), "").unwrap();
    let config = "version: 0.1\nlog:\n  fields:\n    service: registry\nstorage:\n  cache:\n    \
                  blobdescriptor: inmemory\n  filesystem:\n    rootdirectory: /var/lib/docker-registry\n  \
                  delete:\n    enabled: true\nhttp:\n  addr: :5000\n  headers:\n    \
                  X-Content-Type-Options: [nosniff]\nhealth:\n  storagedriver:\n    enabled: true\n    \
                  interval: 10s\n    threshold: 3\n";
    fs::write(root.join("etc/docker/registry/config.yml"), config).unwrap();
    let package = work.join("docker-registry.deb");
    let mut build = system_tool("dpkg-deb").command();
    run_tool(build.args(["--root-owner-group", "--build"]).arg(&root).arg(&package));
    package
}

#[test]
fn the_package_stands_in_for_docker_registry_and_gives_its_place_back() {
    if !is_root() || !Path::new("/usr/bin/systemd-sysusers").exists() {
        println!("NOT RUN: installing a package needs root and systemd-sysusers");
        return;
    }
    for user in [true, false] {
        let (work, packages) = (empty_system(), tempfile::tempdir().unwrap());
        let (root, old) = (work.path(), docker_registry(packages.path()));
        if user {
            fs::write(root.join("etc/passwd"), "docker-registry:x:900:900::/:/usr/sbin/nologin\n").unwrap();
            fs::write(root.join("etc/group"), "docker-registry:x:900:\n").unwrap();
        }
        dpkg(root, &["--install", old.to_str().unwrap()]);
        let said = dpkg(root, &["--install", package().to_str().unwrap()]);
        assert!(said.contains("serves /etc/docker/registry/config.yml"), "{said}");
        assert!(!root.join("usr/bin/docker-registry").exists(), "both are installed");
        assert!(!root.join("etc/wharfinger/config.yml").exists(), "there are two configurations");
        let drop_in = fs::read_to_string(root.join(DROP_IN)).unwrap();
        assert_eq!(drop_in.contains("User=docker-registry"), user, "{drop_in}");
        let started = drop_in.lines().filter_map(|line| line.strip_prefix("ExecStart=")).next_back();
        assert_eq!(started, Some("/usr/bin/wharfinger serve /etc/docker/registry/config.yml"));
        let images = root.join("var/lib/docker-registry");
        serve_installed(
            &root.join("usr/bin/wharfinger"),
            &root.join("etc/docker/registry/config.yml"),
            &images,
        );

        // What the administrator removes does not come back with an upgrade.
        fs::remove_file(root.join(DROP_IN)).unwrap();
        dpkg(root, &["--install", package().to_str().unwrap()]);
        assert!(!root.join(DROP_IN).exists() && !root.join("etc/wharfinger/config.yml").exists());

        dpkg(root, &["--purge", "wharfinger"]);
        dpkg(root, &["--install", old.to_str().unwrap()]);
        assert!(root.join("usr/bin/docker-registry").exists());
        assert!(root.join("etc/docker/registry/config.yml").exists() && images.join("docker").exists());
    }
}

#[test]
fn a_configuration_that_was_made_before_is_used_and_kept() {
    if !is_root() || !Path::new("/usr/bin/systemd-sysusers").exists() {
        println!("NOT RUN: installing a package needs root and systemd-sysusers");
        return;
    }
    let work = empty_system();
    let (root, own) = (work.path(), work.path().join("etc/wharfinger/config.yml"));
    for (path, text) in [("etc/wharfinger/config.yml", "mine"), ("etc/docker/registry/config.yml", "old")] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dpkg(root, &["--install", package().to_str().unwrap()]);
    assert_eq!(fs::read_to_string(own).unwrap(), "mine");
    assert!(!root.join(DROP_IN).exists(), "docker-registry's configuration would be used");
}

#[test]
fn the_package_says_what_it_replaces_and_brings_the_front() {
    for field in ["Provides", "Conflicts", "Replaces"] {
        let mut query = system_tool("dpkg-deb").command();
        let value = run_tool(query.arg("--field").arg(package()).arg(field));
        assert_eq!(value.trim(), "docker-registry", "{field}");
    }
    let work = tempfile::tempdir().unwrap();
    unpack(work.path());
    for file in ["wharfinger.conf", "proxy.conf", "one-registry.conf", "one-writer.conf"] {
        assert!(work.path().join("usr/share/doc/wharfinger/examples/nginx").join(file).exists(), "{file}");
    }
    // Every page that an alert links to is where the link says.
    let rules = work.path().join("usr/share/wharfinger/prometheus/wharfinger.rules.yml");
    let rules = fs::read_to_string(rules).unwrap();
    let links: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("runbook_url: file:///")).collect();
    assert!(links.len() > 10, "{links:?}");
    for link in links {
        assert!(work.path().join(link).is_file(), "{link}");
    }
    let dashboard = fs::read(work.path().join("usr/share/wharfinger/grafana/wharfinger.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&dashboard).unwrap()["title"], "Wharfinger");
    for file in ["varnish.vcl", "nginx.conf", "traffic-server/remap.config", "traffic-server/cache.config"] {
        assert!(work.path().join("usr/share/doc/wharfinger/examples/caches").join(file).exists(), "{file}");
    }
}

#[test]
fn the_units_are_valid_and_hardened() {
    let analyze = Path::new("/usr/bin/systemd-analyze");
    if !analyze.exists() {
        println!("NOT RUN: systemd-analyze is not installed");
        return;
    }
    let work = tempfile::tempdir().unwrap();
    let root = work.path().join("root");
    unpack(&root);
    // The program is not where the unit looks for it; everything else is judged as it is.
    for unit in ["wharfinger.service", "wharfinger.socket"] {
        let text = fs::read_to_string(root.join("lib/systemd/system").join(unit)).unwrap();
        let program = root.join("usr/bin/wharfinger").display().to_string();
        fs::write(work.path().join(unit), text.replace("/usr/bin/wharfinger", &program)).unwrap();
    }
    // With and without the drop-in of the stand-in.
    let drop_in = work.path().join("wharfinger.service.d/docker-registry.conf");
    fs::create_dir(drop_in.parent().unwrap()).unwrap();
    let text = fs::read_to_string(root.join("usr/share/wharfinger/docker-registry.conf")).unwrap();
    let program = root.join("usr/bin/wharfinger").display().to_string();
    fs::write(drop_in, text.replace("/usr/bin/wharfinger", &program)).unwrap();
    for unit in ["wharfinger.service", "wharfinger.socket"] {
        let mut verify = Command::new(analyze);
        let said = run_tool(verify.args(["verify", "--man=no"]).arg(work.path().join(unit)));
        assert!(!said.contains("wharfinger"), "{said}");
    }
    let mut security = Command::new(analyze);
    security.args(["security", "--offline=true", "--no-pager", &format!("--threshold={EXPOSURE}")]);
    run_tool(security.arg(work.path().join("wharfinger.service")));
}

#[test]
fn man_pages_render_and_completions_parse() {
    let work = tempfile::tempdir().unwrap();
    unpack(work.path());
    let share = work.path().join("usr/share");
    let pages: Vec<PathBuf> =
        fs::read_dir(share.join("man/man1")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let named = |name: &str| pages.iter().any(|page| page.ends_with(format!("{name}.1.gz")));
    assert!(named("wharfinger") && named("wharfinger-serve") && !named("wharfinger-generate"), "{pages:?}");
    if Path::new("/usr/bin/man").exists() && Path::new("/usr/bin/groff").exists() {
        for page in &pages {
            let mut man = Command::new("/usr/bin/man");
            man.args(["--warnings", "-E", "UTF-8", "-P", "cat", "-l"]).arg(page).env("MANWIDTH", "80");
            let text = run_tool(
                man.env("LC_ALL", "C.UTF-8").env("MANROFFOPT", "-ww").stdin(std::process::Stdio::null()),
            );
            assert!(text.contains("SYNOPSIS") && !text.contains("warning:"), "{}: {text}", page.display());
        }
    } else {
        println!("NOT RUN: man pages are rendered where man-db and groff are installed");
    }
    let bash = share.join("bash-completion/completions/wharfinger");
    run_tool(system_tool("bash").command().arg("-n").arg(bash));
    for file in ["zsh/vendor-completions/_wharfinger", "fish/vendor_completions.d/wharfinger.fish"] {
        assert!(fs::read_to_string(share.join(file)).unwrap().contains("log-level"), "{file}");
    }
}

#[test]
fn the_package_pleases_lintian() {
    let lintian = Path::new("/usr/bin/lintian");
    if !lintian.exists() {
        println!("NOT RUN: lintian is not installed");
        return;
    }
    let mut command = Command::new(lintian);
    let (clean, said) = try_tool(command.args(["--allow-root", "--fail-on=error,warning"]).arg(package()));
    assert!(clean, "{said}");
}

#[test]
fn the_image_of_ourselves_goes_through_ourselves_and_runs() {
    let registry = Registry::start();
    let reference = format!("docker://{}/wharfinger:latest", registry.address());
    let work = tempfile::tempdir().unwrap();
    let copy = |arguments: &[&str]| {
        let mut skopeo = system_tool("skopeo").command();
        run_tool(skopeo.args(["--insecure-policy", "copy", "-q"]).args(arguments));
    };
    let image = format!("oci:{}", packages().join("image").display());
    copy(&["--dest-tls-verify=false", &image, &reference]);
    let back = work.path().join("back");
    copy(&["--src-tls-verify=false", &reference, &format!("oci:{}:latest", back.display())]);

    let manifest_digest = |layout: &Path| {
        let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
        index["manifests"][0]["digest"].as_str().unwrap().to_owned()
    };
    let digest = manifest_digest(&back);
    assert_eq!(digest, manifest_digest(&packages().join("image")), "it came back changed");
    let blob = |digest: &str| back.join("blobs/sha256").join(digest.trim_start_matches("sha256:"));
    let read = |digest: &Value| fs::read(blob(digest.as_str().unwrap())).unwrap();
    let manifest: Value = serde_json::from_slice(&fs::read(blob(&digest)).unwrap()).unwrap();
    let config: Value = serde_json::from_slice(&read(&manifest["config"]["digest"])).unwrap();
    let run = &config["config"];
    assert_eq!(run["Entrypoint"], serde_json::json!(["/usr/bin/wharfinger"]));
    assert_eq!(run["Cmd"], serde_json::json!(["serve", "/etc/wharfinger/config.yml"]));
    assert!(run["ExposedPorts"]["5000/tcp"].is_object() && run["Volumes"]["/var/lib/wharfinger"].is_object());
    assert_eq!(run["Labels"]["org.opencontainers.image.title"], "wharfinger");

    if !is_root() {
        println!("NOT RUN: the image is run in a chroot, which needs root");
        return;
    }
    let layer = blob(manifest["layers"][0]["digest"].as_str().unwrap());
    run_in_chroot(&layer, work.path(), run["User"].as_str().unwrap());
}

/// Unpacks the only layer and runs what it holds, as the image's user, with nothing from outside.
fn run_in_chroot(layer: &Path, work: &Path, user: &str) {
    let root = work.join("root");
    fs::create_dir(&root).unwrap();
    let mut tar = system_tool("tar").command();
    run_tool(tar.args(["--numeric-owner", "--same-permissions", "-xzf"]).arg(layer).arg("-C").arg(&root));
    // The temporary directory above is closed to everybody else.
    fs::set_permissions(work, fs::Permissions::from_mode(0o755)).unwrap();
    let inside = |arguments: &[&str]| {
        let mut command = system_tool("chroot").command();
        command.arg(format!("--userspec={user}")).arg(&root).arg("/usr/bin/wharfinger").args(arguments);
        command
    };
    let version = run_tool(&mut inside(&["--version"]));
    assert_eq!(version.trim(), format!("wharfinger {}", env!("CARGO_PKG_VERSION")));
    let said = run_tool(&mut inside(&["config", "check", "/etc/wharfinger/config.yml"]));
    assert!(said.contains("0 warnings"), "{said}");

    let port = free_port();
    let mut command = inside(&["serve", "/etc/wharfinger/config.yml"]);
    command.env("REGISTRY_HTTP_ADDR", format!("127.0.0.1:{port}"));
    let mut process = Process::spawn(&mut command, &work.join("log"));
    let client = Client::plain(port);
    process.wait_ready(Duration::from_secs(20), || client.send(&Request::new("GET", "/v2/")).is_ok());
    let api = wharfinger_test_support::Api::new(client);
    let digest = api.push_blob("inside", b"content");
    assert_eq!(api.pull_blob("inside", &digest), b"content");
    assert!(process.terminate(Duration::from_secs(10)).expect("an end").success());
    let log = process.output();
    assert!(!log.contains("level=warn") && !log.contains("level=error"), "{log}");
}
