//! A real systemd as PID 1: in namespaces of its own, on an overlay of this machine's root, so that nothing of the
//! machine is touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::{Process, free_port, pause};
use crate::registry::wharfinger_binary;
use crate::tools::try_tool;

const PATIENCE: Duration = Duration::from_secs(60);

/// Joins a control group of its own, so that systemd has a subtree to manage, then goes on in more namespaces.
const OUTER: &str = r#"
set -e
mount --make-rprivate /
mkdir "$WORK/group"
mount -t cgroup2 none "$WORK/group"
own="$WORK/group$(sed -n 's/^0:://p' /proc/self/cgroup)/$GROUP"
mkdir "$own"
echo $$ > "$own/cgroup.procs"
umount "$WORK/group"
exec unshare --pid --fork --kill-child --ipc --uts --cgroup /bin/sh "$WORK/inner"
"#;

/// Makes a root with our files in it, and becomes systemd.
const INNER: &str = r#"
set -e
mount -t tmpfs -o mode=755 none "$WORK/stage"
cd "$WORK/stage"
mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
cd root
# Only what is to be tested is started; the kernel's settings are not this systemd's affair.
rm -rf etc/systemd/system usr/lib/systemd/system/sysinit.target.wants etc/machine-id
cp -r "$WORK/files/." .
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for node in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 "dev/${node%:*}" c 1 "${node#*:}"; done
mknod -m 666 dev/tty c 5 0
mkdir dev/shm dev/pts dev/mqueue dev/hugepages
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
chroot . /usr/bin/systemd-sysusers /usr/lib/sysusers.d/wharfinger.conf
mkdir outer
pivot_root . outer
umount -l /outer
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /usr/lib/systemd/systemd --system --unit=idle.target --show-status=false --log-target=journal
"#;

/// What systemd comes up to: itself and its journal.
const IDLE: &str =
    "[Unit]\nDefaultDependencies=no\nWants=systemd-journald.service\nAfter=systemd-journald.service\n";

/// A running systemd that knows the units of `packaging/systemd`.
#[derive(Debug)]
pub struct Systemd {
    process: Process,
    work: TempDir,
    port: u16,
}

impl Systemd {
    /// Boots one with the server, its units and its configuration installed; only the port differs.
    ///
    /// # Errors
    /// What is missing where it cannot be tried: root, namespaces, systemd.
    pub fn boot() -> Result<Systemd, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("it needs root".to_owned());
        }
        if !Path::new("/usr/lib/systemd/systemd").exists() {
            return Err("systemd is not installed".to_owned());
        }
        let flags =
            ["--mount", "--pid", "--fork", "--ipc", "--uts", "--cgroup", "mount", "--make-rprivate", "/"];
        let (possible, output) = try_tool(Command::new("unshare").args(flags));
        if !possible {
            return Err(format!("this machine makes no namespaces: {output}"));
        }
        let work = tempfile::tempdir().expect("a directory to work in");
        let port = free_port();
        install(work.path(), port);
        let mut command = Command::new("unshare");
        command.args(["--mount", "/bin/sh"]).arg(work.path().join("outer"));
        command.env("WORK", work.path()).env("GROUP", group());
        let process = Process::spawn(&mut command, &work.path().join("log"));
        let mut systemd = Systemd { process, work, port };
        systemd.wait_up();
        Ok(systemd)
    }

    /// The loopback port that the server listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs a command inside; says whether it succeeded, and what it printed.
    pub fn run(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.init().expect("systemd runs")));
        command.args(["--mount", "--pid", "--ipc", "--uts", "--cgroup", "--"]);
        try_tool(command.args(arguments))
    }

    /// Runs `systemctl`; panics with what the journal says when it fails.
    #[track_caller]
    pub fn systemctl(&self, arguments: &[&str]) -> String {
        let (done, output) = self.run(&[&["systemctl", "--no-pager"][..], arguments].concat());
        assert!(done, "systemctl {arguments:?}: {output}\n{}", self.journal());
        output
    }

    /// A property of a unit.
    #[track_caller]
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.systemctl(&["show", "--value", "--property", name, unit]).trim().to_owned()
    }

    /// Everything that was logged.
    pub fn journal(&self) -> String {
        self.run(&["journalctl", "--no-pager", "--output=cat"]).1
    }

    /// The pid of systemd outside: the child of `unshare`.
    fn init(&self) -> Option<u32> {
        let pid = self.process.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }

    fn wait_up(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(self.process.is_running(), "systemd ended\n{}", self.process.tail());
            // `sh` has become `unshare`, and its child systemd, when its socket answers.
            if self.init().is_some() && self.run(&["systemctl", "is-active", "idle.target"]).0 {
                return;
            }
            assert!(Instant::now() < deadline, "systemd was not up in {PATIENCE:?}\n{}", self.process.tail());
            pause(Duration::from_millis(50));
        }
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}\n{}", self.process.tail(), self.journal());
        }
        // The kernel ends a PID namespace with its first process, and the mounts with the last.
        self.process.kill();
        if let Some(group) = group_directory() {
            let deadline = Instant::now() + Duration::from_secs(10);
            while group.exists() && Instant::now() < deadline {
                remove_groups(&group);
                pause(Duration::from_millis(20));
            }
        }
        let _ = &self.work;
    }
}

/// Lays out what is copied into the root.
fn install(work: &Path, port: u16) {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging");
    let read = |name: &str| fs::read_to_string(packaging.join(name)).expect("a file of packaging/");
    let address = format!("127.0.0.1:{port}");
    let write = |name: &str, text: String| {
        let path = work.join("files").join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory of the root");
        fs::write(path, text).expect("a file of the root");
    };
    write("etc/systemd/system/wharfinger.service", read("systemd/wharfinger.service"));
    write(
        "etc/systemd/system/wharfinger.socket",
        read("systemd/wharfinger.socket").replace("127.0.0.1:5000", &address),
    );
    write("etc/systemd/system/idle.target", IDLE.to_owned());
    write("etc/wharfinger/config.yml", read("config.yml").replace("127.0.0.1:5000", &address));
    write("etc/machine-id", "0123456789abcdef0123456789abcdef\n".to_owned());
    write("usr/lib/sysusers.d/wharfinger.conf", read("systemd/wharfinger.sysusers"));
    let program = work.join("files/usr/bin/wharfinger");
    fs::create_dir_all(program.parent().expect("a directory")).expect("a directory of the root");
    fs::copy(wharfinger_binary(), program).expect("the server is copied");
    fs::create_dir(work.join("stage")).expect("a directory to mount on");
    fs::write(work.join("outer"), OUTER).expect("a script");
    fs::write(work.join("inner"), INNER).expect("a script");
}

/// The name of the control group; one test process runs one systemd at a time.
fn group() -> String {
    format!("wharfinger-test-{}", std::process::id())
}

/// Where the control group shows outside, if the machine has the hierarchy mounted.
fn group_directory() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let mount =
        mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|words| words[2] == "cgroup2")?;
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(Path::new(mount[1]).join(own.trim_start_matches('/')).join(group()))
}

/// Removes a control group and those below it, as far as their processes are gone.
fn remove_groups(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_groups(&entry.path());
        }
    }
    let _ = fs::remove_dir(directory);
}
