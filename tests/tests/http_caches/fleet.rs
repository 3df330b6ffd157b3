//! One registry, and every cache before it in both ways.

use std::thread;

use serde_json::Value;
use wharfinger_test_support::{Builder, CacheProgram, CacheRules, HttpCache, LogLine, Registry};

const PROGRAMS: [CacheProgram; 3] = [CacheProgram::Varnish, CacheProgram::TrafficServer, CacheProgram::Nginx];

/// The registry and its caches.
pub(crate) struct Fleet {
    pub(crate) registry: Registry,
    pub(crate) fronts: Vec<HttpCache>,
}

impl Fleet {
    /// No cache is told of anything.
    pub(crate) fn start(builder: Builder) -> Fleet {
        Fleet::assemble(builder, false)
    }

    /// The caches that can be purged are.
    pub(crate) fn purged(builder: Builder) -> Fleet {
        Fleet::assemble(builder, true)
    }

    /// How many GETs of this path came to the registry.
    pub(crate) fn requests(&self, target: &str) -> usize {
        let asked = |line: &LogLine| {
            line.field("http.request.method") == "GET" && line.field("http.request.uri") == target
        };
        self.registry.log().iter().filter(|line| asked(line)).count()
    }

    fn assemble(mut builder: Builder, purged: bool) -> Fleet {
        let mut planned = Vec::new();
        for program in PROGRAMS {
            for rules in [CacheRules::Shipped, CacheRules::BuiltIn] {
                planned.push((program, rules, HttpCache::port()));
            }
        }
        if purged {
            let endpoint =
                |(program, rules, port): &(_, _, u16)| HttpCache::endpoint(*program, *rules, *port);
            let endpoints: Vec<Value> = planned.iter().filter_map(endpoint).collect();
            builder = builder.set("purge.endpoints", endpoints);
        }
        let port = builder.port();
        let registry = builder.start();
        let fronts = thread::scope(|scope| {
            let start =
                |(program, rules, front)| scope.spawn(move || HttpCache::start(program, rules, front, port));
            let starting: Vec<_> = planned.into_iter().map(start).collect();
            starting.into_iter().map(|front| front.join().unwrap()).collect()
        });
        Fleet { registry, fronts }
    }
}
