//! The Debian package: a tree of ours, packed by Debian's own dpkg-deb.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::tree::Tree;
use super::{Parts, date, packaging, version};
use crate::run;

const DOC: &str = "usr/share/doc/wharfinger";

/// Writes `wharfinger_VERSION-1_ARCHITECTURE.deb` into `output`; `work` holds the tree meanwhile.
pub(super) fn write(parts: &Parts, work: &Path, output: &Path) -> Result<PathBuf> {
    let revision = format!("{}-1", version());
    let tree = tree(parts, &revision)?;
    let root = work.join("deb");
    tree.write_to(&root)?;
    control(parts, &tree, &revision, &root)?;
    let package = output.join(format!("wharfinger_{revision}_{}.deb", parts.architecture));
    let mut command = Command::new("dpkg-deb");
    command.env("SOURCE_DATE_EPOCH", parts.time.to_string()).arg("--root-owner-group");
    command.args(if parts.quick { ["-Zgzip", "-z1"] } else { ["-Zxz", "-z6"] });
    run::output(command.arg("--build").arg(&root).arg(&package))?;
    Ok(package)
}

/// Configurations of HTTP caches, below `packaging/caches`.
const CACHES: [&str; 6] = [
    "varnish.vcl",
    "nginx.conf",
    "traffic-server/records.config",
    "traffic-server/remap.config",
    "traffic-server/cache.config",
    "traffic-server/ip_allow.yaml",
];

fn tree(parts: &Parts, revision: &str) -> Result<Tree> {
    let mut tree = Tree::default();
    tree.copy("usr/bin/wharfinger", 0o755, &parts.binary)?;
    for (file, place) in [
        ("config.yml", "usr/share/wharfinger/config.yml"),
        ("systemd/docker-registry.conf", "usr/share/wharfinger/docker-registry.conf"),
        ("systemd/wharfinger.service", "lib/systemd/system/wharfinger.service"),
        ("systemd/wharfinger.socket", "lib/systemd/system/wharfinger.socket"),
        ("systemd/wharfinger.sysusers", "usr/lib/sysusers.d/wharfinger.conf"),
        ("debian/lintian-overrides", "usr/share/lintian/overrides/wharfinger"),
        ("debian/copyright", "usr/share/doc/wharfinger/copyright"),
        ("debian/README.Debian", "usr/share/doc/wharfinger/README.Debian"),
        ("nginx/wharfinger.conf", "usr/share/doc/wharfinger/examples/nginx/wharfinger.conf"),
        ("nginx/proxy.conf", "usr/share/doc/wharfinger/examples/nginx/proxy.conf"),
        ("nginx/one-registry.conf", "usr/share/doc/wharfinger/examples/nginx/one-registry.conf"),
        ("nginx/one-writer.conf", "usr/share/doc/wharfinger/examples/nginx/one-writer.conf"),
        ("prometheus/wharfinger.rules.yml", "usr/share/wharfinger/prometheus/wharfinger.rules.yml"),
        ("grafana/wharfinger.json", "usr/share/wharfinger/grafana/wharfinger.json"),
    ] {
        tree.copy(place, 0o644, &packaging(file))?;
    }
    // What the alerts link to.
    for page in fs::read_dir(run::root().join("docs/runbook"))? {
        let page = page?;
        let place = format!("usr/share/doc/wharfinger/runbook/{}", page.file_name().to_string_lossy());
        tree.copy(&place, 0o644, &page.path())?;
    }
    for file in CACHES {
        let place = format!("usr/share/doc/wharfinger/examples/caches/{file}");
        tree.copy(&place, 0o644, &packaging("caches").join(file))?;
    }
    for (file, place) in [
        ("wharfinger.bash", "usr/share/bash-completion/completions/wharfinger"),
        ("_wharfinger", "usr/share/zsh/vendor-completions/_wharfinger"),
        ("wharfinger.fish", "usr/share/fish/vendor_completions.d/wharfinger.fish"),
    ] {
        tree.copy(place, 0o644, &parts.generated.join("completions").join(file))?;
    }
    for page in fs::read_dir(parts.generated.join("man"))? {
        let page = page?;
        let name = page.file_name().to_string_lossy().into_owned();
        tree.gzip(&format!("usr/share/man/man1/{name}.gz"), &fs::read(page.path())?)?;
    }
    let changelog = fill(
        "debian/changelog",
        &[("@VERSION@", revision), ("@UPSTREAM@", version()), ("@DATE@", &date(parts.time, "--rfc-email")?)],
    )?;
    tree.gzip(&format!("{DOC}/changelog.Debian.gz"), changelog.as_bytes())?;
    tree.gzip(&format!("{DOC}/dependencies.gz"), parts.licences.as_bytes())?;
    Ok(tree)
}

/// Writes `DEBIAN/`: what dpkg is to know and to run.
fn control(parts: &Parts, tree: &Tree, revision: &str, root: &Path) -> Result<()> {
    let sums = run::output(Command::new("md5sum").current_dir(root).args(tree.files()))?;
    let directory = root.join("DEBIAN");
    fs::create_dir(&directory)?;
    let text = fill(
        "debian/control",
        &[
            ("@VERSION@", revision),
            ("@ARCHITECTURE@", &parts.architecture),
            ("@INSTALLED_SIZE@", &tree.kibibytes().to_string()),
        ],
    )?;
    fs::write(directory.join("control"), text)?;
    fs::write(directory.join("md5sums"), sums + "\n")?;
    for script in ["postinst", "prerm", "postrm"] {
        let place = directory.join(script);
        fs::copy(packaging("debian").join(script), &place)?;
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755))?;
    }
    for name in ["control", "md5sums"] {
        fs::set_permissions(directory.join(name), fs::Permissions::from_mode(0o644))?;
    }
    Ok(())
}

/// A file below `packaging/` with its `@NAMES@` replaced.
fn fill(name: &str, values: &[(&str, &str)]) -> Result<String> {
    let path = packaging(name);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(values.iter().fold(text, |text, (mark, value)| text.replace(mark, value)))
}
