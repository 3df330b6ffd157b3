//! The report for people.

use std::fmt::Write;

use wharfinger_maintenance::doctor::{Answer, Node, Report, Said};

use crate::units::size;

/// Hex digits of a digest that is right.
const SHORT: usize = 12;

/// Everything on one page. Writing to a `String` cannot fail.
pub(super) fn page(report: &Report) -> String {
    let mut page = String::new();
    for image in &report.images {
        let _ = writeln!(page, "{}", image.image);
        tree(&mut page, &image.tree, 1);
        page.push('\n');
    }
    let bytes = match report.deep {
        true => "the bytes of config and layers were read and hashed",
        false => "the bytes of config and layers were not read (--deep)",
    };
    let _ = writeln!(page, "asked      {}; {bytes}", report.asked.join(", "));
    for reason in &report.not_asked {
        let _ = writeln!(page, "not asked  {reason}");
    }
    for reason in &report.unknown {
        let _ = writeln!(page, "not told   {reason}");
    }
    if report.verdicts.is_empty() {
        let _ = writeln!(page, "verdict    {}", report.verdict);
    }
    for verdict in &report.verdicts {
        let _ = writeln!(page, "verdict    {}", verdict.text);
        if !verdict.intact.is_empty() {
            let _ = writeln!(page, "intact     {}", verdict.intact.join(", "));
        }
        let _ = writeln!(page, "mend       {}", verdict.mend);
    }
    if let Some(incident) = &report.incident {
        let _ = writeln!(page, "\nFor the incident page:\n{incident}");
    }
    page
}

fn tree(page: &mut String, node: &Node, depth: usize) {
    let worst = |answer| node.said.iter().any(|said| said.answer == answer);
    let state = match (worst(Answer::Wrong), worst(Answer::Unknown)) {
        (true, _) => "WRONG",
        (false, true) => "?",
        (false, false) if node.said.is_empty() => "not looked at",
        (false, false) => "ok",
    };
    let digest = node.digest.map(|digest| digest.to_string()).unwrap_or_default();
    let fine = state == "ok";
    let digest = match digest.split_once(':') {
        Some((algorithm, hex)) if fine => format!("{algorithm}:{}", &hex[..SHORT.min(hex.len())]),
        _ => digest,
    };
    let bytes = node.size.map(size).unwrap_or_default();
    let (indent, what) = ("  ".repeat(depth), &node.what);
    let width = 26_usize.saturating_sub(2 * depth);
    let line = format!("{indent}{what:<width$} {state:<6}{digest}  {bytes}");
    let _ = writeln!(page, "{}", line.trim_end());
    if !fine {
        let told: Vec<&Said> = node.said.iter().filter(|said| said.answer != Answer::Nothing).collect();
        for said in told {
            let _ = writeln!(page, "{indent}    {}", line_of(said));
        }
    }
    for child in &node.children {
        tree(page, child, depth + 1);
    }
}

fn line_of(said: &Said) -> String {
    let (who, text) = (&said.who, &said.text);
    let mark = if said.first_liar { "  <-- first liar" } else { "" };
    match said.answer {
        Answer::Right => format!("right    {who}: {text}"),
        Answer::Nothing => format!("nothing  {who}: {text}"),
        Answer::Follows => format!("follows  {who}: {text}"),
        Answer::Wrong => format!("WRONG    {who}: {text}{mark}"),
        Answer::Unknown => format!("?        {who}: {text}"),
    }
}
