//! All servers on one store, as a table.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use time::OffsetDateTime;
use wharfinger_maintenance::instances::{Fleet, Instance};

use super::screen::clock;

const HEADS: [&str; 8] = ["HOST", "ADDRESS", "VERSION", "MODE", "UP", "REDIS", "CACHE", "HEALTH"];

pub(super) fn table(fleet: &Fleet) -> String {
    if fleet.instances.is_empty() && fleet.damaged.is_empty() {
        return "no instance has a record in the store: none runs, or none writes (storage.mode: observe)\n"
            .to_owned();
    }
    let mut rows = vec![HEADS.map(str::to_owned)];
    rows.extend(fleet.instances.iter().map(row));
    let mut widths = [0; HEADS.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut page = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        page += cells.collect::<Vec<_>>().join("  ").trim_end();
        page.push('\n');
    }
    for damaged in &fleet.damaged {
        page += &format!("a record tells nothing: {damaged}\n");
    }
    page
}

fn row(instance: &Instance) -> [String; HEADS.len()] {
    let health = &instance.health;
    let last = if instance.is_silent() { instance.written_at } else { OffsetDateTime::now_utc() };
    let up = (last - instance.started).whole_seconds().max(0).unsigned_abs();
    [
        instance.host.clone(),
        instance.address.clone(),
        instance.version.clone(),
        if instance.role == "active" {
            instance.mode.clone()
        } else {
            format!("{} {}", instance.mode, instance.role)
        },
        span(up),
        health.redis.clone().unwrap_or_else(|| "-".to_owned()),
        health.cache_hits_percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent} %")),
        verdict(instance),
    ]
}

/// `well`, or what is wrong.
fn verdict(instance: &Instance) -> String {
    if instance.is_silent() {
        let now = OffsetDateTime::now_utc();
        let ago: Duration = (now - instance.written_at).try_into().unwrap_or_default();
        return format!("silent since {}", clock(now, ago));
    }
    let complaints = instance.complaints();
    if complaints.is_empty() { "well".to_owned() } else { complaints.join(", ") }
}

/// The largest two units: `3d 4h`.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

pub(super) fn json(fleet: &Fleet) -> Result<Value> {
    let told = |instance: &Instance| -> Result<Value> {
        let mut value = serde_json::to_value(instance)?;
        value["silent"] = instance.is_silent().into();
        value["complaints"] = instance.complaints().into();
        Ok(value)
    };
    let instances = fleet.instances.iter().map(told).collect::<Result<Vec<Value>>>()?;
    Ok(json!({ "instances": instances, "damaged": fleet.damaged, "well": fleet.is_well() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_the_unit_that_suits() {
        let told: Vec<String> = [5, 65, 3_700, 90_000].into_iter().map(span).collect();
        assert_eq!(told, ["5s", "1m", "1h 1m", "1d 1h"]);
    }

    #[test]
    fn an_empty_store_says_why() {
        assert!(table(&Fleet::default()).starts_with("no instance has a record"));
    }
}
