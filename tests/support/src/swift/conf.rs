//! The configuration files of a cluster.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::keystone;
use super::{DEVICES, PART_POWER, Pipeline, Ports, SwiftBuilder};

/// The hash path prefix and suffix of every cluster here.
pub(super) const HASH: (&str, &str) = ("wharfinger-prefix", "wharfinger-suffix");

/// What the files are written from.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) home: &'a Path,
    pub(super) user: &'a str,
    pub(super) ports: &'a Ports,
    pub(super) options: &'a SwiftBuilder,
}

/// Writes every file that the servers read.
pub(super) fn write(plan: &Plan<'_>) {
    for directory in DEVICES.iter().map(|device| format!("devices/{device}")).chain(["cache".into()]) {
        fs::create_dir_all(plan.home.join(directory)).expect("the cluster's directories");
    }
    let file = |name: &str, text: String| {
        fs::write(plan.home.join(name), text).expect("the cluster's configuration is written");
    };
    file("rings.json", rings(plan.ports).to_string());
    file("swift.conf", swift());
    file("container-sync-realms.conf", realms(plan.ports.proxy, None));
    file("internal-client.conf", internal_client(plan));
    file("proxy-server.conf", proxy(plan));
    file("account-server.conf", backend(plan, "account", plan.ports.account));
    file("container-server.conf", backend(plan, "container", plan.ports.container));
    for (number, port) in plan.ports.objects.iter().enumerate() {
        file(&format!("object-server-{number}.conf"), backend(plan, "object", *port));
    }
}

fn rings(ports: &Ports) -> serde_json::Value {
    let objects: Vec<_> = DEVICES.iter().zip(&ports.objects).collect();
    json!({
        "part_power": PART_POWER,
        "rings": {
            "account": [[DEVICES[0], ports.account]],
            "container": [[DEVICES[0], ports.container]],
            "object": objects,
        },
    })
}

fn swift() -> String {
    let (prefix, suffix) = HASH;
    format!(
        "[swift-hash]\nswift_hash_path_prefix = {prefix}\nswift_hash_path_suffix = {suffix}\n\
         [storage-policy:0]\nname = Policy-0\ndefault = yes\n"
    )
}

/// The clusters that containers may be copied to: this one, and another.
pub(super) fn realms(proxy: u16, other: Option<u16>) -> String {
    let other = other.map(|port| format!("cluster_two = http://127.0.0.1:{port}/v1/\n")).unwrap_or_default();
    format!(
        "[DEFAULT]\nmtime_check_interval = 1\n\
         [tests]\nkey = realmkey\ncluster_one = http://127.0.0.1:{proxy}/v1/\n{other}"
    )
}

/// What the daemon of container sync reads objects by.
fn internal_client(plan: &Plan<'_>) -> String {
    let memcached = plan.ports.memcached;
    format!(
        "{common}[pipeline:main]\npipeline = catch_errors cache symlink proxy-server\n\
         [app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\n\
         [filter:catch_errors]\nuse = egg:swift#catch_errors\n[filter:symlink]\nuse = egg:swift#symlink\n\
         [filter:cache]\nuse = egg:swift#memcache\nmemcache_servers = 127.0.0.1:{memcached}\n",
        common = common(plan, 0, "internal-client"),
    )
}

fn common(plan: &Plan<'_>, port: u16, name: &str) -> String {
    let (home, user) = (plan.home.display(), plan.user);
    // Without a log address that exists, Swift logs nowhere but to standard error.
    format!(
        "[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = {port}\nbind_timeout = 2\nworkers = 0\nuser = {user}\n\
         swift_dir = {home}\ndevices = {home}/devices\nmount_check = false\ndisable_fallocate = true\n\
         fallocate_reserve = 0\nrecon_cache_path = {home}/cache\nlog_name = {name}\nlog_level = INFO\n\
         log_address = {home}/no-log\neventlet_debug = false\n"
    )
}

fn backend(plan: &Plan<'_>, kind: &str, port: u16) -> String {
    let common = common(plan, port, kind);
    let rest = match kind {
        // A listing that lags because the machine is busy would never catch up: there are no daemons.
        "object" => {
            "container_update_timeout = 60\n[object-updater]\ninterval = 1\n[object-auditor]\ninterval = 1\n"
        }
        "container" => &format!(
            "[container-updater]\ninterval = 1\n[container-sync]\ninterval = 1\n\
             internal_client_conf_path = {}/internal-client.conf\n",
            plan.home.display()
        ),
        _ => "",
    };
    format!(
        "{common}[pipeline:main]\npipeline = healthcheck {kind}-server\n\
         [filter:healthcheck]\nuse = egg:swift#healthcheck\n\
         [app:{kind}-server]\nuse = egg:swift#{kind}\n{rest}"
    )
}

/// A line for each request; `access.rs` reads it.
const ACCESS_LINE: &str = "request {method} {path} {status_int} {bytes_recvd} {bytes_sent} {transaction_id} \
                           {source} {user_agent} {request_time}";

/// One of Swift's own filters without settings.
const PLAIN_FILTERS: [(&str, &str); 10] = [
    ("catch_errors", "catch_errors"),
    ("healthcheck", "healthcheck"),
    ("listing_formats", "listing_formats"),
    ("bulk", "bulk"),
    ("ratelimit", "ratelimit"),
    ("copy", "copy"),
    ("container-quotas", "container_quotas"),
    ("account-quotas", "account_quotas"),
    ("slo", "slo"),
    ("symlink", "symlink"),
];

fn proxy(plan: &Plan<'_>) -> String {
    let builder = plan.options;
    let auth = if builder.keystone { "authtoken keystoneauth" } else { "tempauth" };
    // Wikimedia's as its puppet has it; what is missing there (catch_errors, gatekeeper, copy, dlo and
    // versioned_writes) Swift puts in by itself.
    let pipeline = match builder.pipeline {
        Pipeline::Full => format!(
            "catch_errors gatekeeper healthcheck proxy-logging cache listing_formats container_sync bulk tempurl \
             ratelimit {auth} copy container-quotas account-quotas slo dlo versioned_writes symlink \
             proxy-logging proxy-server"
        ),
        Pipeline::Wikimedia => format!(
            "proxy-logging listing_formats healthcheck cache container_sync tempurl ratelimit {auth} \
             proxy-logging proxy-server"
        ),
    };
    let (memcached, suppression) = (plan.ports.memcached, builder.error_suppression);
    let filters: String =
        PLAIN_FILTERS.iter().map(|(name, egg)| format!("[filter:{name}]\nuse = egg:swift#{egg}\n")).collect();
    // A connection within the machine fails at once or is a matter of load: patience costs nothing.
    format!(
        "{common}[pipeline:main]\npipeline = {pipeline}\n\
         [app:proxy-server]\nuse = egg:swift#proxy\nallow_account_management = true\naccount_autocreate = true\n\
         error_suppression_interval = {suppression}\nconn_timeout = 3\n{options}\n{filters}\
         [filter:gatekeeper]\nuse = egg:swift#gatekeeper\nshunt_inbound_x_timestamp = {shunt}\n\
         [filter:proxy-logging]\nuse = egg:swift#proxy_logging\nlog_msg_template = {ACCESS_LINE}\n\
         [filter:cache]\nuse = egg:swift#memcache\nmemcache_servers = 127.0.0.1:{memcached}\n\
         [filter:container_sync]\nuse = egg:swift#container_sync\ncurrent = //tests/one\n\
         [filter:versioned_writes]\nuse = egg:swift#versioned_writes\nallow_versioned_writes = true\n\
         {special}{auth_filters}",
        common = common(plan, plan.ports.proxy, "proxy"),
        options = builder.proxy_options.join("\n"),
        shunt = !builder.client_timestamps,
        special = special_filters(builder.pipeline),
        auth_filters = auth_filters(plan),
    )
}

/// What the two pipelines set differently.
fn special_filters(pipeline: Pipeline) -> &'static str {
    match pipeline {
        Pipeline::Full => {
            "[filter:tempurl]\nuse = egg:swift#tempurl\n\
             [filter:dlo]\nuse = egg:swift#dlo\nrate_limit_after_segment = 1000000\n"
        }
        Pipeline::Wikimedia => {
            "[filter:tempurl]\nuse = egg:swift#tempurl\nmethods = GET HEAD\n[filter:dlo]\nuse = egg:swift#dlo\n"
        }
    }
}

fn auth_filters(plan: &Plan<'_>) -> String {
    if plan.options.keystone {
        return keystone::filters(plan.ports.keystone);
    }
    let life = plan.options.token_life.unwrap_or(86_400);
    format!(
        "[filter:tempauth]\nuse = egg:swift#tempauth\ntoken_life = {life}\n\
         user_admin_admin = admin .admin .reseller_admin\nuser_test_tester = testing .admin\n\
         user_test_reader = reading\n"
    )
}
