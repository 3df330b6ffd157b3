//! What a server costs, from the kernel: CPU time, resident memory, TCP buffers.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// A server's processes: the one that was started and its descendants at that moment.
#[derive(Clone, Debug)]
pub(crate) struct ProcessTree {
    pids: Vec<u32>,
}

/// Memory at one moment, in bytes, summed over the processes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// `RssAnon`: heap and stacks.
    pub(crate) anonymous: u64,
    /// `RssFile` and `RssShmem`: mapped files, which the kernel can drop (or, on tmpfs, already counts).
    pub(crate) file: u64,
}

impl ProcessTree {
    /// The processes below `root` now, itself included.
    pub(crate) fn of(root: u32) -> Result<ProcessTree> {
        fs::metadata(format!("/proc/{root}")).with_context(|| format!("there is no process {root}"))?;
        let mut parents = Vec::new();
        for entry in fs::read_dir("/proc")?.flatten() {
            let pid: Option<u32> = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some(pid) = pid
                && let Some(parent) = parent_of(pid)
            {
                parents.push((pid, parent));
            }
        }
        let mut pids = vec![root];
        let mut next = 0;
        while let Some(&parent) = pids.get(next) {
            pids.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(pid, _)| *pid));
            next += 1;
        }
        Ok(ProcessTree { pids })
    }

    /// User and system time of all threads, also of those that ended.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let mut sum = Duration::ZERO;
        for pid in &self.pids {
            sum += cpu_of(*pid)?;
        }
        Ok(sum)
    }

    /// Resident memory from `/proc/PID/status`.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let mut sum = Memory::default();
        for pid in &self.pids {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))
                .with_context(|| format!("process {pid} ended during the measure"))?;
            sum.anonymous += kib_field(&status, "RssAnon:");
            sum.file += kib_field(&status, "RssFile:") + kib_field(&status, "RssShmem:");
        }
        Ok(sum)
    }
}

fn kib_field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
        * 1024
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat_fields(&stat).nth(1)?.parse().ok()
}

/// The fields of a stat line from the third (state) on; the second, the name, may itself hold spaces.
fn stat_fields(stat: &str) -> impl Iterator<Item = &str> {
    stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace()
}

/// CPU time of one process. The process's CPU clock is what `/proc/PID/stat` shows in ticks of 10 ms, in
/// nanoseconds; the stat line is the fallback.
fn cpu_of(pid: u32) -> Result<Duration> {
    if let Some(time) = cpu_clock(pid) {
        return Ok(time);
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("process {pid} ended during the measure"))?;
    let ticks: u64 = stat_fields(&stat).skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}

fn cpu_clock(pid: u32) -> Option<Duration> {
    let pid = libc::pid_t::try_from(pid).ok()?;
    let mut clock: libc::clockid_t = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both calls only write to the two locals they are given.
    let failed = unsafe {
        libc::clock_getcpuclockid(pid, &raw mut clock) != 0 || libc::clock_gettime(clock, &raw mut time) != 0
    };
    if failed {
        return None;
    }
    Some(Duration::new(u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?))
}

/// CPU time of the calling thread.
pub(crate) fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// CPU time of this tool.
pub(crate) fn own_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Bytes of kernel memory in TCP buffers, of both ends of every connection of this machine.
pub(crate) fn tcp_memory() -> Result<u64> {
    let text = fs::read_to_string("/proc/net/sockstat").context("reading the kernel's TCP memory")?;
    Ok(sockstat_tcp_pages(&text) * rustix::param::page_size() as u64)
}

fn sockstat_tcp_pages(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("TCP:")).unwrap_or("");
    let mut words = line.split_whitespace().skip_while(|word| *word != "mem");
    words.nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Lets this process and those it starts open as many files as the hard limit allows.
pub(crate) fn raise_open_files(needed: u64) -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    if let Some(maximum) = limit.maximum.filter(|maximum| *maximum < needed) {
        anyhow::bail!(
            "{needed} open files are needed and the limit is {maximum}: raise it with `ulimit -Hn {needed}`"
        );
    }
    Ok(())
}

/// The machine, for the head of a report.
pub(crate) fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
    };
    let model = field(&cpus, "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let sha = if cpus.contains("sha_ni") { ", SHA instructions" } else { "" };
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let gib = kib_field(&memory, "MemTotal:") as f64 / f64::from(1 << 30);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.trim().split('-').next().unwrap_or("").to_owned();
    format!("{count} cores of {model}{sha}, {gib:.0} GiB, Linux {kernel}, kernel loopback")
}

/// The one-minute load average.
pub(crate) fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_with_a_difficult_name_is_read() {
        let stat = "42 (a) b (c) S 7 42 42 0 -1 0 0 0 0 0 11 22 0 0";
        assert_eq!(stat_fields(stat).nth(1), Some("7"));
        let ticks: u64 = stat_fields(stat).skip(11).take(2).map(|t| t.parse::<u64>().unwrap()).sum();
        assert_eq!(ticks, 33);
    }

    #[test]
    fn the_kernels_tcp_pages_are_read() {
        let text = "sockets: used 13\nTCP: inuse 1 orphan 0 tw 10 alloc 1 mem 289\nUDP: inuse 0 mem 5\n";
        assert_eq!(sockstat_tcp_pages(text), 289);
        assert_eq!(sockstat_tcp_pages(""), 0);
    }

    #[test]
    fn our_own_cpu_and_memory_are_seen_from_outside() {
        // Without children: those of other tests end whenever they like.
        let tree = ProcessTree { pids: vec![std::process::id()] };
        let before = tree.cpu().unwrap();
        let mut x = 1u64;
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_millis(30) {
            x = std::hint::black_box(x.wrapping_mul(3));
        }
        assert!(tree.cpu().unwrap() > before);
        assert!(tree.memory().unwrap().anonymous > 0);
    }
}
