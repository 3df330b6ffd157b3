//! Apache Traffic Server, in a directory of its own.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{replaced, shipped};
use crate::tools::system_tool;

/// Where Debian has its configuration.
const DEBIAN: &str = "/etc/trafficserver";

pub(super) fn command(work: &Path, port: u16, registry: u16, is_shipped: bool) -> Command {
    let program = system_tool("traffic_server");
    for directory in ["etc", "var/run", "log", "cache"] {
        fs::create_dir_all(work.join(directory)).expect("a directory of Traffic Server");
    }
    copy_all(Path::new(DEBIAN), &work.join("etc"));
    let etc = |name: &str| work.join("etc").join(name);
    let mut records = fs::read_to_string(etc("records.config")).expect("Debian's records.config");
    let mut remap = format!("map / http://127.0.0.1:{registry}/\n");
    if is_shipped {
        records += &shipped("traffic-server/records.config");
        remap = replaced(&shipped("traffic-server/remap.config"), ":5000", &format!(":{registry}"));
        for name in ["cache.config", "ip_allow.yaml"] {
            fs::write(etc(name), shipped(&format!("traffic-server/{name}"))).expect("a file");
        }
    }
    // The last line of a name counts. Via shows hits; the name is of a user that may be changed to.
    records += &format!(
        "\nCONFIG proxy.config.http.server_ports STRING {port}:ip-in=127.0.0.1\n\
         CONFIG proxy.config.http.insert_response_via_str INT 2\n\
         CONFIG proxy.config.http.down_server.cache_time INT 1\n\
         CONFIG proxy.config.admin.user_id STRING {}\n",
        user().0
    );
    fs::write(etc("records.config"), records).expect("a file of Traffic Server");
    fs::write(etc("remap.config"), remap).expect("a file of Traffic Server");
    fs::write(etc("storage.config"), format!("{} 64M\n", work.join("cache").display())).expect("a file");
    own(work);
    let run_root = work.join("runroot.yaml");
    fs::write(&run_root, layout(work)).expect("a file of Traffic Server");
    let mut command = program.command();
    command.arg(format!("--run-root={}", run_root.display()));
    command
}

fn layout(work: &Path) -> String {
    let work = work.display();
    format!(
        "prefix: {work}\nexec_prefix: /usr\nbindir: /usr/bin\nsbindir: /usr/sbin\nsysconfdir: {work}/etc\n\
         localstatedir: {work}/var\nruntimedir: {work}/var/run\nlogdir: {work}/log\ncachedir: {work}/cache\n\
         libexecdir: /usr/lib/trafficserver/modules\nlibdir: /usr/lib/trafficserver\nmandir: /usr/share/man\n\
         datadir: {work}/var\n"
    )
}

/// The user that it runs as: started by root it changes to its own.
fn user() -> (String, u32, u32) {
    let passwd = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let id = rustix::process::geteuid();
    let users = passwd.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        Some((fields[0].to_owned(), fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    });
    let wanted = |(name, number, _): &(String, u32, u32)| {
        if id.is_root() { name == "trafficserver" } else { *number == id.as_raw() }
    };
    let mut users = users.filter(wanted);
    users.next().expect("the user of Traffic Server")
}

/// Everything belongs to the user that it changes to.
fn own(work: &Path) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let (_, user, group) = user();
    for path in all(work) {
        chown(&path, Some(user), Some(group)).expect("its files are its user's");
    }
}

fn all(root: &Path) -> Vec<PathBuf> {
    let (mut open, mut found) = (vec![root.to_owned()], vec![root.to_owned()]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            found.push(entry.path());
            if entry.path().is_dir() {
                open.push(entry.path());
            }
        }
    }
    found
}

fn copy_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("Debian's configuration").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).expect("a directory");
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("a file of Debian's configuration");
        }
    }
}
