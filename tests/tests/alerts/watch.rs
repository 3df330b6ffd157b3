//! Reads the metrics of a running registry again and again, as Prometheus does, and lets `promtool` evaluate the rules
//! on what was read.
//!
//! Time is scaled. A scrape every [`EVERY`] of real time becomes a sample every [`STEP`] of the rules' time: what has to
//! hold for two minutes holds for eight scrapes, two seconds here. What is injected is real, and so is every sample.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};
use wharfinger_test_support::{Client, Request, pause, run_tool, system_tool, wait_until};

use super::rules::{self, Rule};

/// Real time between two scrapes.
const EVERY: Duration = Duration::from_millis(250);
/// Seconds between two samples, which is also the interval at which rules are evaluated.
pub(crate) const STEP: usize = 15;
/// Scrapes before a fault: all is well for so long that rates are known.
const BEFORE: usize = 12;
/// Longest real time that a page's command may need to see that it is over.
const PATIENCE: Duration = Duration::from_secs(40);

/// What was scraped: the text, or nothing where nobody answered.
type Scrapes = Vec<Option<String>>;

/// One fault, from before it to after it.
pub(crate) struct Watch {
    rules: Vec<Rule>,
    directory: PathBuf,
    scrapes: Arc<Mutex<Scrapes>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    fault: usize,
    mend: usize,
}

impl Watch {
    /// Begins to scrape `port`, and waits until it is known that all is well. The fault will raise `alerts`, and no
    /// other; the registry's files lie in `directory`.
    pub(crate) fn begin(alerts: &[&str], port: u16, directory: &Path) -> Watch {
        let (scrapes, stop) = (Arc::new(Mutex::default()), Arc::new(AtomicBool::new(false)));
        let scraper = {
            let (scrapes, stop) = (Arc::clone(&scrapes), Arc::clone(&stop));
            std::thread::spawn(move || scrape(port, &scrapes, &stop))
        };
        let watch = Watch {
            rules: alerts.iter().map(|name| rules::named(name)).collect(),
            directory: directory.to_owned(),
            scrapes,
            stop,
            thread: Some(scraper),
            fault: 0,
            mend: 0,
        };
        watch.wait_for(BEFORE);
        watch.all_is_well();
        watch
    }

    /// Lets the fault happen.
    pub(crate) fn break_it(&mut self, fault: impl FnOnce()) {
        self.fault = self.count();
        fault();
    }

    /// Waits for as long as the rules do, and `notice` scrapes until the metrics show the fault. The pages' commands say
    /// that something is wrong.
    pub(crate) fn expect_alert(&self, notice: usize) {
        let due = self.rules.iter().map(|rule| rule.seconds).max().unwrap() / STEP + notice;
        self.wait_for(self.fault + due);
        for rule in &self.rules {
            let (code, text) = rule.run(&self.directory);
            assert!(code != Some(0), "{}: the page's command sees nothing wrong:\n{text}", rule.name);
        }
    }

    /// Ends the fault, and waits until the pages' commands say so, and for another `windows` scrapes: rates look back.
    pub(crate) fn mend_it(&mut self, mend: impl FnOnce(), windows: usize) {
        self.is_mended();
        mend();
        self.expect_end(windows);
    }

    /// From now on it is being mended.
    pub(crate) fn is_mended(&mut self) {
        self.mend = self.count();
    }

    /// Waits until the pages' commands say that it is over, and for another `windows` scrapes.
    pub(crate) fn expect_end(&self, windows: usize) {
        wait_until(&format!("{:?} to be over", self.names()), PATIENCE, || {
            pause(EVERY);
            self.rules.iter().all(|rule| rule.run(&self.directory).0 == Some(0))
        });
        self.wait_for(self.count() + windows);
    }

    /// Evaluates the rules on all that was scraped.
    pub(crate) fn judge(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        let scrapes = std::mem::take(&mut *self.scrapes.lock());
        let names = self.names();
        judge(&names, &scrapes, self.fault, self.mend);
        let seconds = |scrapes: usize| scrapes * STEP / 60;
        println!(
            "{names:?}: {} min before, {} min of fault, {} min after, as the rules saw it",
            seconds(self.fault),
            seconds(self.mend - self.fault),
            seconds(scrapes.len() - self.mend)
        );
    }

    fn names(&self) -> Vec<&str> {
        self.rules.iter().map(|rule| rule.name.as_str()).collect()
    }

    fn all_is_well(&self) {
        for rule in &self.rules {
            let (code, text) = rule.run(&self.directory);
            assert_eq!(code, Some(0), "{}, before the fault:\n{text}", rule.name);
        }
    }

    fn count(&self) -> usize {
        self.scrapes.lock().len()
    }

    fn wait_for(&self, count: usize) {
        let missing = count.saturating_sub(self.count()) as u32;
        let limit = EVERY * missing * 3 + PATIENCE;
        wait_until("scrapes", limit, || self.count() >= count);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn scrape(port: u16, scrapes: &Mutex<Scrapes>, stop: &AtomicBool) {
    let mut due = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let answer = Client::plain(port).send(&Request::new("GET", "/metrics"));
        let text = answer.ok().filter(|answer| answer.status == 200).map(|answer| answer.text());
        scrapes.lock().push(text);
        due = (due + EVERY).max(Instant::now());
        pause(due.saturating_duration_since(Instant::now()));
    }
}

/// The series of all scrapes, as promtool writes them.
fn series(scrapes: &Scrapes) -> Vec<Value> {
    let names = rules::metrics_in(&fs::read_to_string(rules::file()).unwrap());
    let mut all: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
    let mut add = |series: String, step: usize, value: &str| {
        let values = all.entry(series).or_insert_with(|| vec![None; scrapes.len()]);
        values[step] = Some(value.to_owned());
    };
    for (step, text) in scrapes.iter().enumerate() {
        let target = "job=\"wharfinger\",instance=\"registry:5001\"";
        add(format!("up{{{target}}}"), step, if text.is_some() { "1" } else { "0" });
        let lines = text.as_deref().unwrap_or("").lines().filter(|line| !line.starts_with('#'));
        for (sample, value) in lines.filter_map(|line| line.rsplit_once(' ')) {
            let (name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
            if names.contains(name) {
                let labels = labels.trim_end_matches('}');
                let comma = if labels.is_empty() { "" } else { "," };
                add(format!("{name}{{{labels}{comma}{target}}}"), step, value);
            }
        }
    }
    let one = |(series, values): (String, Vec<Option<String>>)| {
        let mut there = false;
        let written = values.iter().map(|value| {
            let before = std::mem::replace(&mut there, value.is_some());
            // As Prometheus marks what a scrape does not show any more.
            value.as_deref().unwrap_or(if before { "stale" } else { "_" })
        });
        let values: Vec<&str> = written.collect();
        json!({ "series": series, "values": values.join(" ") })
    };
    all.into_iter().map(one).collect()
}

/// No alert before the fault; at its end exactly those that are expected; none of them at the end; no other, ever.
pub(crate) fn judge(alerts: &[&str], scrapes: &Scrapes, fault: usize, mend: usize) {
    assert!(0 < fault && fault < mend && mend < scrapes.len(), "{fault}, {mend}, {}", scrapes.len());
    let at = |step: usize| format!("{}s", step * STEP);
    let firing = "ALERTS{alertstate=\"firing\"}";
    let others = format!("ALERTS{{alertstate=\"firing\",alertname!~\"{}\"}}", alerts.join("|"));
    let expected: Vec<Value> = alerts
        .iter()
        .map(|name| json!({ "labels": format!("{{alertname=\"{name}\"}}"), "value": 1 }))
        .collect();
    let ever = |alerts: &str| format!("count by (alertname) (count_over_time({alerts}[1d]))");
    let last = scrapes.len() - 1;
    let file = json!({
        "rule_files": [rules::file()],
        "evaluation_interval": format!("{STEP}s"),
        "tests": [{
            "interval": format!("{STEP}s"),
            "input_series": series(scrapes),
            "promql_expr_test": [
                { "expr": ever(firing), "eval_time": at(fault - 1), "exp_samples": [] },
                {
                    "expr": format!("count by (alertname) ({firing})"),
                    "eval_time": at(mend - 1),
                    "exp_samples": expected,
                },
                { "expr": firing, "eval_time": at(last), "exp_samples": [] },
                { "expr": ever(&others), "eval_time": at(last), "exp_samples": [] },
            ],
        }],
    });
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("alerts");
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join(format!("{}.json", alerts.join("-")));
    // JSON is YAML.
    fs::write(&path, serde_json::to_string_pretty(&file).unwrap()).unwrap();
    run_tool(system_tool("promtool").command().args(["test", "rules"]).arg(path));
}
