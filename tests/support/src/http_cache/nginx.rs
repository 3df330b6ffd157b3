//! nginx as a cache.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{replaced, shipped};
use crate::tools::system_tool;

pub(super) fn command(work: &Path, port: u16, registry: u16, is_shipped: bool) -> Command {
    let root = work.display();
    let site = if is_shipped {
        let site = shipped("nginx.conf");
        let site = replaced(&site, "127.0.0.1:5000", &format!("127.0.0.1:{registry}"));
        let site = replaced(&site, "listen 80;", &format!("listen 127.0.0.1:{port};"));
        // Tests do not wait for a minute.
        let site = replaced(&site, "200 60s;", "200 1s;");
        replaced(&site, "/var/cache/nginx/wharfinger", &format!("{root}/cache"))
    } else {
        format!(
            "proxy_cache_path {root}/cache keys_zone=plain:1m;\n\
             server {{ listen 127.0.0.1:{port}; client_max_body_size 0; location / {{\n\
             proxy_pass http://127.0.0.1:{registry}; proxy_cache plain;\n\
             add_header X-Cache-Status $upstream_cache_status always; }} }}\n"
        )
    };
    fs::write(work.join("site.conf"), site).expect("a file of nginx");
    // As root nginx gives up its rights, and would not reach a directory that is ours alone.
    let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("    {name}_temp_path {root}/{name};\n"))
        .collect();
    let main = format!(
        "{user}daemon off;\nworker_processes 1;\npid {root}/nginx.pid;\nerror_log stderr info;\n\
         events {{ worker_connections 512; }}\nhttp {{\n    access_log off;\n{paths}    include {root}/site.conf;\n}}\n"
    );
    fs::write(work.join("nginx.conf"), main).expect("a file of nginx");
    let mut command = system_tool("nginx").command();
    command.arg("-p").arg(work).arg("-c").arg(work.join("nginx.conf"));
    command
}
