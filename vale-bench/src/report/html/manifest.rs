//! The circumstances of every document, and in what they differ.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde_json::Value;

use super::super::kept::Kept;
use super::super::text;

/// Where a run says that it was, and when: never alike, and not what makes a difference.
const INCIDENTAL: [&str; 2] = ["started_at", "command_line"];

/// Names and values of a manifest, all the way down.
type Facts = BTreeMap<String, String>;

/// The section about them.
pub(super) fn section(results: &[Kept]) -> Markup {
    let facts: Vec<Facts> = results.iter().map(facts).collect();
    let mut names: Vec<&String> = facts.iter().flat_map(Facts::keys).collect();
    names.sort();
    names.dedup();
    let differs = |name: &str| facts.iter().any(|of| of.get(name) != facts[0].get(name));
    let (differ, alike): (Vec<&String>, Vec<&String>) = names.into_iter().partition(|name| differs(name));
    let (incidental, differ): (Vec<&String>, Vec<&String>) =
        differ.into_iter().partition(|name| INCIDENTAL.contains(&name.as_str()));
    html! {
        section id="manifest" {
            h2 { "Circumstances" }
            @if results.len() > 1 {
                h3 { "In what the documents differ" }
                @if differ.is_empty() {
                    p { "In nothing but when they were made, and by which command." }
                } @else {
                    (table(results, &facts, &differ, "Circumstances that differ"))
                }
                details {
                    summary { "When and by which command" }
                    (table(results, &facts, &incidental, "When and by which command"))
                }
            }
            details {
                summary { @if results.len() > 1 { "What they have in common" } @else { "The whole manifest" } }
                (table(&results[..results.len().min(1)], &facts[..facts.len().min(1)], &alike, "Circumstances"))
            }
        }
    }
}

fn table(results: &[Kept], facts: &[Facts], names: &[&String], label: &str) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label=(label) {
            table class="facts" {
                thead {
                    tr {
                        th scope="col" { "Fact" }
                        @for kept in results { th scope="col" { (kept.name) } }
                    }
                }
                tbody {
                    @for name in names {
                        tr {
                            th scope="row" { (name) }
                            @for of in facts {
                                td { @match of.get(*name) {
                                    Some(value) => (value),
                                    None => span class="of" { "unknown" },
                                } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What is known of the run and of its dataplanes; what is null is left out.
fn facts(kept: &Kept) -> Facts {
    let mut facts = Facts::new();
    if let Ok(value) = serde_json::to_value(&kept.document.manifest) {
        flatten("", &value, &mut facts);
    }
    for trial in &kept.document.trials {
        let dataplane = &trial.dataplane;
        let mut put = |name: &str, value: &str| {
            let name = text::plain(&format!("dataplane.{}.{name}", dataplane.name));
            let value = text::plain(value);
            let known = facts.entry(name).or_default();
            // Trials of one run may differ in it.
            if !known.split(", ").any(|known| known == value) {
                *known = if known.is_empty() { value } else { format!("{known}, {value}") };
            }
        };
        dataplane.parameters.iter().for_each(|(name, value)| put(name, value));
        put("accelerator", dataplane.accelerator.label());
        dataplane.guest_driver.iter().for_each(|driver| put("guest_driver", driver));
    }
    facts
}

fn flatten(name: &str, value: &Value, facts: &mut Facts) {
    let inner = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    let mut put = |value: String| drop(facts.insert(text::plain(name), text::plain(&value)));
    match value {
        Value::Null => {}
        Value::Bool(yes) => put(if *yes { "yes" } else { "no" }.to_owned()),
        Value::Number(number) => put(number.to_string()),
        Value::String(text) => put(text.clone()),
        Value::Array(items) if items.iter().all(Value::is_string) && !items.is_empty() => {
            let words: Vec<String> =
                items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect();
            put(text::command(&words));
        }
        Value::Array(items) if items.iter().all(Value::is_number) => {
            put(items.iter().map(Value::to_string).collect::<Vec<_>>().join(","));
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                flatten(&inner(&index.to_string()), item, facts);
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                flatten(&inner(key), item, facts);
            }
        }
    }
}
