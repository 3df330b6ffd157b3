//! The benchmarks page of the documentation.

use std::fmt::Write as _;

use super::{cell, range};
use crate::figure::{Figure, number};
use crate::goals;
use crate::results::Results;
use crate::stats::Spread;

/// The page; `notes` is text that a person wrote about the results, such as the causes of misses.
pub(crate) fn render(results: &Results, notes: Option<&str>) -> String {
    let mut page = String::from("# Benchmarks\n\n");
    page.push_str(
        "<!-- Written by `cargo xtask bench`; edit benchmarks-notes.md, not this file. -->\n\n\
        How fast wharfinger is, beside Debian's docker-registry and beside nginx that serves the same bytes as plain\n\
        files. nginx is not a registry: it is what this machine can do, and the goals are set against it.\n\n",
    );
    goal_table(&mut page, results);
    if let Some(notes) = notes {
        let _ = write!(page, "\n## Remarks\n\n{}\n", notes.trim());
    }
    details(&mut page, results);
    method(&mut page, results);
    page
}

fn goal_table(page: &mut String, results: &Results) {
    let verdicts = goals::judge(results);
    let met = verdicts.iter().filter(|v| v.met == Some(true)).count();
    let missed = verdicts.iter().filter(|v| v.met == Some(false)).count();
    let rest = verdicts.len() - met - missed;
    let _ = write!(page, "## Goals\n\n{met} met, {missed} missed");
    if rest > 0 {
        let _ = write!(page, ", {rest} not measured");
    }
    page.push_str(
        ". Values are the median of the rounds [lowest..highest]; ratios are taken within a round.\n\n",
    );
    page.push_str(
        "| measure | figure | goal | wharfinger | | docker-registry |\n|---|---|---|---|---|---|\n",
    );
    let mut last = String::new();
    let text = |spread: Option<Spread>| spread.map_or("-".to_owned(), |spread| range(&spread, ""));
    for verdict in verdicts {
        let met = verdict.met.map_or("not measured", |met| if met { "met" } else { "**missed**" });
        let name = if verdict.measure == last { "" } else { &verdict.measure };
        let (measured, docker) = (text(verdict.measured), text(verdict.docker_registry));
        let _ = writeln!(
            page,
            "| {name} | {} | {} | {measured} | {met} | {docker} |",
            verdict.figure, verdict.goal
        );
        last.clone_from(&verdict.measure);
    }
}

fn details(page: &mut String, results: &Results) {
    let peers = results.peers();
    page.push_str(
        "\n## All figures\n\nThe median; in brackets the ratio to nginx: median [lowest..highest].\n",
    );
    for measure in results.measures() {
        let _ = write!(page, "\n### {}\n\n| `{}` |", measure.title(), measure.name());
        for peer in &peers {
            let _ = write!(page, " {} |", peer.name());
        }
        let _ = write!(page, "\n|---|{}\n", "---|".repeat(peers.len()));
        for figure in results.runs.figures(measure) {
            let _ = write!(page, "| {} |", figure.title());
            for peer in &peers {
                let _ = write!(page, " {} |", cell(results, measure, *peer, figure));
            }
            page.push('\n');
        }
        if let Some(hash) = results.sha256.get(&measure).and_then(|rounds| Spread::of(rounds)) {
            let floor = Spread::of(&results.push_floor(measure))
                .filter(|_| results.runs.figures(measure).contains(&Figure::CpuSPerGb));
            let floor = floor.map_or(String::new(), |f| format!("; with nginx's PUT {} s/GB", range(&f, "")));
            let _ = write!(page, "\nOne SHA-256 on one core: {} CPU s/GB{floor}.\n", range(&hash, ""));
        }
        let _ = write!(page, "\nVerified: {}.\n", measure.verified());
        for ((failed, kind), message) in &results.runs.failures {
            if *failed == measure {
                let _ = write!(page, "\n{} failed: {}\n", kind.name(), message.replace('\n', " "));
            }
        }
    }
}

fn method(page: &mut String, results: &Results) {
    page.push_str("\n## The machine and the versions\n\n");
    let _ = writeln!(page, "- {}; load average {:.1} at the start.", results.machine, results.load_before);
    for (kind, version) in &results.versions {
        let _ = writeln!(page, "- {}: {version}", kind.name());
    }
    let (connections, seconds, rounds) = (results.connections, number(results.seconds), results.rounds);
    let _ = write!(
        page,
        "\n## Method\n\n\
- One run measures all peers in turn, {rounds} round(s), each round beginning with another peer. Absolute figures
  move with whatever else the machine does; ratios within a round move less, and CPU per request or per GB least.
- Client and servers share the cores. The client is `wharfinger-load`: one thread of raw epoll for small requests.
  Stores are on tmpfs, so no disk is in the figures, and fsync costs nothing.
- The registries run with the same configuration: filesystem storage, in-memory blob descriptors, access log off, log
  level error, deletes enabled. nginx: two workers, sendfile, tcp_nopush, open_file_cache, no access log; pushes are
  one WebDAV PUT through a buffer of 1 MB (its fastest), which neither hashes nor syncs.
- Small requests: {connections} connections, one request in flight on each, {seconds} s after a warm-up of 0.3 s. The manifest
  has one config and seven layers, about 1.4 KB. CPU is user and system time of all processes of the server.
- 1 KB, 1 MB and 1 GB are powers of ten; MiB is 2^20 bytes. 100 MB pulls: 8 by one client, 2 by each of eight. 100 MB
  pushes: one that is not counted, then 4 by one client, or 8 at once; every blob is new to the store. Before each push
  measure the server starts on an empty store and 1 GB of tmpfs is written and freed.
- Lists: the first page and one in the middle in turn, after 3 of each that are not counted.
- Memory: peak of /proc/PID/status every 5 ms, summed over the processes, of a server that was just started on a
  filled store. Slow pulls read 100 KB/s for 8 s. Kernel TCP memory is from /proc/net/sockstat and counts both ends of
  every connection, since the clients are on the same machine; servers that use sendfile leave data there. The kernel's limit
  (net.ipv4.tcp_mem) caps it; clients that got no byte of the body in the time are counted.
- Latency during pushes: 1,000 manifest GETs a second over four connections for 3 s, alone and then beside two clients
  that push 100 MB blobs without pause. Client, pushes and server share the cores.
- Ready: from the start of the process to the first answer on an empty store, median of 5 starts a round.

## How to reproduce

```
cargo xtask bench
```

It needs Debian's `docker-registry` and `nginx-light` (or `nginx`), and 8 GB free in /dev/shm. These results came from

```
{}
```

Part of it: `wharfinger-load compare --wharfinger target/release/wharfinger --only manifest --rounds 3`. Another registry
on this machine: `wharfinger-load drive http://127.0.0.1:5000 --measure manifest-tag --pid PID`.
",
        results.command
    );
}
