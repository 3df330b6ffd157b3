//! Whatever is in the file or the environment, the answer is a configuration or a list of errors.

#[path = "support/common.rs"]
mod common;

use common::{errors, load};
use proptest::prelude::*;
use wharfinger_config::{keys, load_str, sample};

/// Lines as a configuration has them, at any indent.
fn lines() -> impl Strategy<Value = String> {
    let names: Vec<String> = keys::all().iter().map(|key| key.name().to_owned()).collect();
    let value = prop_oneof![
        "[ -~]{0,12}",
        Just("{}".to_owned()),
        Just("[a, {b: c}]".to_owned()),
        Just("&a x".to_owned())
    ];
    let line = (0usize..5, proptest::sample::select(names), value, any::<bool>()).prop_map(
        |(depth, name, value, item)| {
            format!("{}{}{name}: {value}\n", "  ".repeat(depth), if item { "- " } else { "" })
        },
    );
    proptest::collection::vec(line, 0..20).prop_map(|lines| lines.concat())
}

fn variables() -> impl Strategy<Value = Vec<(String, String)>> {
    let names: Vec<String> = keys::all().iter().map(|key| key.variable().replace("_N", "_0")).collect();
    let name = prop_oneof![proptest::sample::select(names), "REGISTRY_[A-Z0-9_]{0,20}"];
    proptest::collection::vec((name, "[ -~\n]{0,16}"), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}", env in variables()) {
        let _ = load_str("c", &text, env.into_iter(), &[]);
    }

    #[test]
    fn no_bytes_of_yaml_make_the_parser_panic(text in "[\\[\\]{}:,&*!|>'\"%@`#?a0~ \t\r\n-]{0,120}") {
        let _ = load_str("c", &text, std::iter::empty(), &[]);
    }

    #[test]
    fn no_arrangement_of_known_keys_makes_the_parser_panic(text in lines(), env in variables()) {
        let _ = load_str("c", &text, env.into_iter(), &["access".to_owned()]);
    }

    #[test]
    fn no_change_to_the_sample_makes_the_parser_panic(at in 0usize..4000, cut in 0usize..40, new in "[ -~\n]{0,8}") {
        let mut text: Vec<char> = sample().chars().collect();
        let at = at.min(text.len());
        let end = (at + cut).min(text.len());
        text.splice(at..end, new.chars());
        let _ = load_str("c", &text.into_iter().collect::<String>(), std::iter::empty(), &[]);
    }
}

#[test]
fn a_text_that_blows_up_is_refused() {
    assert!(!errors(load(&"[".repeat(100_000), &[])).is_empty());
    assert!(errors(load(&"- ".repeat(1_000), &[]))[0].contains("nested too deeply"));
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    assert!(errors(load(&bomb, &[]))[0].contains("too many values"));
}
