//! The Debian packages that the full test run needs.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::run;

/// A package and a file that shows that it is installed.
const PACKAGES: &[(&str, &str)] = &[
    ("docker-registry", "/usr/bin/docker-registry"),
    ("nginx", "/usr/sbin/nginx"),
    ("varnish", "/usr/sbin/varnishd"),
    ("trafficserver", "/usr/bin/traffic_server"),
    ("curl", "/usr/bin/curl"),
    ("skopeo", "/usr/bin/skopeo"),
    ("podman", "/usr/bin/podman"),
    ("buildah", "/usr/bin/buildah"),
    ("containerd", "/usr/bin/containerd"),
    ("docker.io", "/usr/sbin/dockerd"),
    ("systemd", "/usr/bin/systemd-analyze"),
    ("man-db", "/usr/bin/man"),
    ("swift-proxy", "/usr/bin/swift-proxy-server"),
    ("swift-account", "/usr/bin/swift-account-server"),
    ("swift-container", "/usr/bin/swift-container-server"),
    ("swift-object", "/usr/bin/swift-object-server"),
    ("memcached", "/usr/bin/memcached"),
    ("keystone", "/usr/bin/keystone-wsgi-public"),
    (
        "python3-keystonemiddleware",
        "/usr/lib/python3/dist-packages/keystonemiddleware/auth_token/__init__.py",
    ),
    ("redis-server", "/usr/bin/redis-server"),
    ("groff-base", "/usr/bin/groff"),
    ("faketime", "/usr/bin/faketime"),
    ("prometheus", "/usr/bin/promtool"),
];

/// Installs what is missing; without root, says what to install.
pub(crate) fn ensure() -> Result<()> {
    let all: Vec<&str> = PACKAGES.iter().map(|(name, _)| *name).collect();
    install(&missing(&all))
}

/// Those of `names`, which are of the tests' packages, that are not installed.
pub(crate) fn missing(names: &[&'static str]) -> Vec<&'static str> {
    let absent = |(name, file): &&(&str, &str)| names.contains(name) && !Path::new(file).exists();
    PACKAGES.iter().filter(absent).map(|(name, _)| *name).collect()
}

/// Installs Debian packages by name; nothing to do for an empty list.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("these Debian packages are needed and this is no Debian: {list}");
    }
    if run::output(Command::new("id").arg("-u"))? != "0" {
        bail!("missing Debian packages; run: sudo apt-get install --no-install-recommends {list}");
    }
    println!("    installing {list}");
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        // No service may start by itself: the tests start their own.
        command.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1").args(arguments);
        run::output(&mut command)
    };
    apt(&["-qq", "update"])?;
    apt(&[&["-qq", "-y", "install", "--no-install-recommends"][..], packages].concat())?;
    Ok(())
}
