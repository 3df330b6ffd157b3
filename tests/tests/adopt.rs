//! Taking over a container of Distribution 2.8 in place, and giving it back, on real Swift.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use wharfinger_test_support::{
    Blob, Config, DockerRegistry, Image, Index, Pipeline, Style, SwiftCluster, bytes, wharfinger_binary,
};

const PIPELINES: [Pipeline; 2] = [Pipeline::Full, Pipeline::Wikimedia];

/// A configuration for a container, and the commands on it.
struct Site {
    directory: TempDir,
    config: Config,
}

/// What a command answered.
struct Answer {
    code: i32,
    text: String,
    errors: String,
}

impl Answer {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.text, self.errors))
    }
}

impl Site {
    fn new(swift: &SwiftCluster, container: &str) -> Site {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::new(directory.path(), 1);
        config.use_swift(swift.storage_config(container));
        Site { directory, config }
    }

    fn file(&self) -> PathBuf {
        let file = self.directory.path().join("config.yml");
        std::fs::write(&file, self.config.text()).unwrap();
        file
    }

    fn adopt(&self, arguments: &[&str]) -> Answer {
        let mut command = Command::new(wharfinger_binary());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("REGISTRY_")) {
            command.env_remove(name);
        }
        let output = command.arg("adopt").arg(self.file()).args(arguments).output().unwrap();
        Answer {
            code: output.status.code().unwrap_or(-1),
            text: String::from_utf8(output.stdout).unwrap(),
            errors: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn survey(&self, arguments: &[&str]) -> (i32, Value) {
        let arguments: Vec<&str> = ["--dry-run", "--output", "json"].iter().chain(arguments).copied().collect();
        let answer = self.adopt(&arguments);
        (answer.code, answer.json())
    }
}

/// What docker-registry 2.8.2 wrote: an image of two layers, one of them of three segments, and an index.
struct Corpus {
    cart: Image,
    multi: Index,
}

impl Corpus {
    fn write(swift: &SwiftCluster, container: &str) -> Corpus {
        let old = DockerRegistry::builder()
            .swift(swift, container)
            .set("storage.swift.chunksize", 2 << 20)
            .start();
        let api = old.api();
        let cart = Image::of(Style::Docker, "amd64", vec![Blob::layer(1, 5 << 20), Blob::layer(2, 3000)]);
        api.push_image("shop/cart", "v1", &cart);
        api.push_image("shop/cart", "v2", &cart);
        let multi = Index::two_platforms(Style::Oci, 7);
        api.push_index("multi", "latest", &multi);
        Corpus { cart, multi }
    }
}

#[test]
fn a_healthy_container_is_told_as_it_is_and_nothing_is_written() {
    for pipeline in PIPELINES {
        let swift = SwiftCluster::shared(pipeline);
        let container = swift.fresh_container();
        let corpus = Corpus::write(swift, &container);
        let site = Site::new(swift, &container);
        let mark = swift.mark();
        let (code, survey) = site.survey(&["--deep"]);
        println!("{survey:#}");
        let writes: Vec<_> = swift.since(mark).into_iter().filter(|request| request.is_write()).collect();
        assert!(writes.is_empty(), "{writes:?}");
        assert_eq!((code, &survey["findings"], &survey["unknown"]), (0, &Value::Array(vec![]), &Value::Array(vec![])));
        let _ = (&corpus.cart, &corpus.multi, bytes(1, 1));
        println!("{}", site.adopt(&["--dry-run"]).text);
    }
}
