//! Figures that others published, set beside ours: as numbers of another testbed, never as a ratio.
//!
//! The tables are data files of this project, with their source named (`vale-bench/data/`). Deliberately absent: any
//! arithmetic between their figures and ours.

use std::io::{self, Write};
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::report::figure;
use crate::report::text::wrap;
use crate::report::{View, escape, table};
use crate::result::{Direction, Offered, ResultDocument};
use crate::stats::median;

/// Figures of a publication.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// The name to ask for it by.
    pub name: String,
    /// What it is.
    pub title: String,
    /// Who published it, and where the figures are from.
    pub source: String,
    /// On what it was measured.
    pub testbed: String,
    /// What to know before looking at ours beside it.
    pub notes: Vec<String>,
    /// Throughput by frame size.
    pub throughput: Vec<Throughput>,
    /// Throughput by number of guests in a chain.
    pub chains: Vec<Chain>,
    /// Round trips.
    pub latency: Vec<LatencyTable>,
}

/// Throughput of switches at several frame sizes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Throughput {
    /// Scenario.
    pub scenario: String,
    /// Guests.
    pub vms: u32,
    /// One way or both, both being added up.
    pub direction: Direction,
    /// Sizes, with FCS.
    pub frame_bytes: Vec<u16>,
    /// By switch, for each size, with 20 bytes of preamble and gap.
    pub l1_gbps: Figures<f64>,
}

/// Throughput of switches in chains of several lengths.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// Scenario.
    pub scenario: String,
    /// One way or both, both being added up.
    pub direction: Direction,
    /// Guests of each chain.
    pub vms: Vec<u32>,
    /// By switch, for each length, with 20 bytes of preamble and gap.
    pub l1_gbps: Figures<f64>,
}

/// Round trips of switches at several loads.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencyTable {
    /// Scenario.
    pub scenario: String,
    /// Guests.
    pub vms: u32,
    /// Parts of the highest throughput.
    pub load_of_max: Vec<f64>,
    /// By switch, for each load, mean and 99th percentile in microseconds.
    pub mean_and_p99_us: Figures<[f64; 2]>,
}

/// By switch, in the order of the publication.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures<T>(pub Vec<(String, Vec<T>)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Figures<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for InOrder<T> {
            type Value = Figures<T>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("figures by switch")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut figures = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    figures.push(entry);
                }
                Ok(Figures(figures))
            }
        }
        deserializer.deserialize_map(InOrder(std::marker::PhantomData))
    }
}

/// All that this program has.
static ALL: LazyLock<Vec<Published>> = LazyLock::new(|| {
    let files = [include_str!("../../data/software-switches-2019.json")];
    files.map(|text| serde_json::from_str(text).expect("a test has read it")).into()
});

/// All that this program has.
pub fn all() -> &'static [Published] {
    &ALL
}

/// The figures called `name`; otherwise a sentence that lists those there are.
pub fn find(name: &str) -> Result<&'static Published, String> {
    all().iter().find(|published| published.name == name).ok_or_else(|| {
        let names: Vec<&str> = all().iter().map(|published| published.name.as_str()).collect();
        format!("there are no published figures called {name:?}; there is {}", names.join(", "))
    })
}

/// Published figures with ours beside them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Beside {
    /// The publication's name here.
    pub name: String,
    /// Who published it, and where the figures are from.
    pub source: String,
    /// On what it was measured: not on this.
    pub testbed: String,
    /// What to know before looking at ours beside it.
    pub notes: Vec<String>,
    /// The tables.
    pub tables: Vec<BesideTable>,
}

/// One table of a publication with our rows above theirs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BesideTable {
    /// Scenario.
    pub scenario: String,
    /// One way or both, both being added up.
    pub direction: Direction,
    /// What the columns are: frame sizes in bytes, or guests.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<BesideRow>,
}

/// One switch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BesideRow {
    /// Its name.
    pub switch: String,
    /// Whether it was measured here; otherwise it is published.
    pub here: bool,
    /// Thousand million bits a second with 20 bytes of preamble and gap a frame; null where it was not measured.
    pub l1_gbps: Vec<Option<f64>>,
}

impl Published {
    /// Sets the trials of `documents` at maximum rate beside the tables that measured the same; no table that none did.
    pub fn beside(&self, documents: &[&ResultDocument]) -> Beside {
        let by_size = self.throughput.iter().map(|published| {
            let cell = |name: &str, column: usize| {
                ours(documents, &published.scenario, published.direction, |trial| {
                    trial.dataplane.name == name
                        && trial.vms == published.vms
                        && trial.frame_size.sizes_bytes == [published.frame_bytes[column]]
                })
            };
            let columns = published.frame_bytes.iter().map(|bytes| format!("{bytes} B")).collect();
            with_ours(documents, &published.scenario, published.direction, columns, &published.l1_gbps, cell)
        });
        let by_length = self.chains.iter().map(|published| {
            let cell = |name: &str, column: usize| {
                ours(documents, &published.scenario, published.direction, |trial| {
                    trial.dataplane.name == name
                        && trial.vms == published.vms[column]
                        && trial.frame_size.sizes_bytes == [64]
                })
            };
            let columns = published.vms.iter().map(|&vms| figure::count(vms, "guest")).collect();
            with_ours(documents, &published.scenario, published.direction, columns, &published.l1_gbps, cell)
        });
        Beside {
            name: self.name.clone(),
            source: self.source.clone(),
            testbed: self.testbed.clone(),
            notes: self.notes.clone(),
            tables: by_size.chain(by_length).flatten().collect(),
        }
    }

    /// Writes every table, theirs alone.
    pub fn write(&self, view: &View, out: &mut dyn Write) -> io::Result<()> {
        paragraph(out, &self.title, view)?;
        paragraph(out, &format!("Source: {}.", self.source), view)?;
        paragraph(out, &format!("Testbed: {}.", self.testbed), view)?;
        let plain = |figures: &Figures<f64>| {
            let row = |(switch, values): &(String, Vec<f64>)| {
                std::iter::once(switch.clone())
                    .chain(values.iter().copied().map(figure::significant))
                    .collect()
            };
            figures.0.iter().map(row).collect::<Vec<Vec<String>>>()
        };
        let direction = |d| figure::direction(d);
        for t in &self.throughput {
            writeln!(out, "\n{}, {}, L1 Gbps by frame size", t.scenario, direction(t.direction))?;
            let columns: Vec<String> = t.frame_bytes.iter().map(|bytes| format!("{bytes} B")).collect();
            grid(out, &columns, plain(&t.l1_gbps), view)?;
        }
        for t in &self.chains {
            writeln!(out, "\n{}, {}, L1 Gbps by guests in the chain", t.scenario, direction(t.direction))?;
            let columns: Vec<String> = t.vms.iter().map(u32::to_string).collect();
            grid(out, &columns, plain(&t.l1_gbps), view)?;
        }
        for t in &self.latency {
            let guests =
                if t.vms > 0 { format!(", {}", figure::count(t.vms, "guest")) } else { String::new() };
            writeln!(out, "\n{}{guests}, round trips in µs (mean / p99) by load", t.scenario)?;
            let columns: Vec<String> =
                t.load_of_max.iter().map(|load| format!("{} %", figure::shortest(load * 100.0))).collect();
            let row = |(switch, values): &(String, Vec<[f64; 2]>)| {
                let pair = |[mean, p99]: &[f64; 2]| {
                    format!("{} / {}", figure::significant(*mean), figure::significant(*p99))
                };
                std::iter::once(switch.clone()).chain(values.iter().map(pair)).collect()
            };
            grid(out, &columns, t.mean_and_p99_us.0.iter().map(row).collect(), view)?;
        }
        writeln!(out)?;
        self.notes.iter().try_for_each(|note| paragraph(out, note, view))
    }
}

/// The median rate of the trials that measured this, if any did.
fn ours(
    documents: &[&ResultDocument],
    scenario: &str,
    direction: Direction,
    is: impl Fn(&crate::result::Trial) -> bool,
) -> Option<f64> {
    let trials = documents.iter().flat_map(|document| &document.trials);
    let measured = trials.filter(|trial| {
        trial.scenario == scenario
            && trial.direction == direction
            && trial.offered == Offered::Max
            && is(trial)
    });
    median(measured.map(|trial| trial.throughput.aggregate.rate_l1_gbps))
}

fn with_ours(
    documents: &[&ResultDocument],
    scenario: &str,
    direction: Direction,
    columns: Vec<String>,
    published: &Figures<f64>,
    cell: impl Fn(&str, usize) -> Option<f64>,
) -> Option<BesideTable> {
    let mut names: Vec<&str> = Vec::new();
    for trial in documents.iter().flat_map(|document| &document.trials) {
        if !names.contains(&trial.dataplane.name.as_str()) {
            names.push(&trial.dataplane.name);
        }
    }
    let mut rows: Vec<BesideRow> = Vec::new();
    for name in names {
        let l1_gbps: Vec<Option<f64>> = (0..columns.len()).map(|column| cell(name, column)).collect();
        if l1_gbps.iter().any(Option::is_some) {
            rows.push(BesideRow { switch: name.to_owned(), here: true, l1_gbps });
        }
    }
    if rows.is_empty() {
        return None;
    }
    rows.extend(published.0.iter().map(|(switch, values)| BesideRow {
        switch: switch.clone(),
        here: false,
        l1_gbps: values.iter().copied().map(Some).collect(),
    }));
    Some(BesideTable { scenario: scenario.to_owned(), direction, columns, rows })
}

impl Beside {
    /// What must not be done with it, as a sentence.
    pub(crate) fn heading(&self) -> String {
        format!(
            "Beside {}, which is another testbed: no ratio between its figures and these means anything.",
            self.name
        )
    }

    /// Writes tables that fit the view.
    pub fn write(&self, view: &View, out: &mut dyn Write) -> io::Result<()> {
        paragraph(out, &self.heading(), view)?;
        for t in &self.tables {
            writeln!(out, "\n{}", t.title())?;
            grid(out, &t.columns, t.cells(), view)?;
        }
        if self.tables.is_empty() {
            paragraph(out, "It measured none of the trials here.", view)?;
        }
        writeln!(out)?;
        paragraph(out, &format!("Source: {}.", self.source), view)?;
        paragraph(out, &format!("Its testbed: {}.", self.testbed), view)?;
        self.notes.iter().try_for_each(|note| paragraph(out, note, view))
    }

    /// Writes GitHub's Markdown.
    pub fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}\n", escape(&self.heading()))?;
        for t in &self.tables {
            writeln!(out, "### {}\n", escape(&t.title()))?;
            writeln!(
                out,
                "| Switch | {} |\n| :-- |{}",
                t.columns.join(" | "),
                " --: |".repeat(t.columns.len())
            )?;
            for row in t.cells() {
                let row: Vec<String> = row.iter().map(|cell| escape(cell)).collect();
                writeln!(out, "| {} |", row.join(" | "))?;
            }
            writeln!(out)?;
        }
        writeln!(
            out,
            "Source: {}. Its testbed: {}. {}",
            escape(&self.source),
            escape(&self.testbed),
            self.notes.join(" ")
        )
    }
}

impl BesideTable {
    /// `v2v, one way, L1 Gbps`.
    pub(crate) fn title(&self) -> String {
        format!("{}, {}, L1 Gbps", self.scenario, figure::direction(self.direction))
    }

    /// The rows as text, the switch's name first.
    pub(crate) fn cells(&self) -> Vec<Vec<String>> {
        let row = |row: &BesideRow| {
            let name = if row.here { format!("{} (here)", row.switch) } else { row.switch.clone() };
            let figures = row.l1_gbps.iter().map(|rate| rate.map_or("-".into(), figure::significant));
            std::iter::once(name).chain(figures).collect()
        };
        self.rows.iter().map(row).collect()
    }
}

fn grid(out: &mut dyn Write, columns: &[String], rows: Vec<Vec<String>>, view: &View) -> io::Result<()> {
    let header: Vec<&str> = std::iter::once("Switch").chain(columns.iter().map(String::as_str)).collect();
    writeln!(out, "{}", table(&header, rows, view))
}

fn paragraph(out: &mut dyn Write, text: &str, view: &View) -> io::Result<()> {
    wrap(text, usize::from(view.width.max(40)), "", "").iter().try_for_each(|line| writeln!(out, "{line}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::{document, trial};

    #[test]
    fn the_files_can_be_read_and_every_row_is_whole() {
        for published in all() {
            for t in &published.throughput {
                assert!(
                    t.l1_gbps.0.iter().all(|(_, row)| row.len() == t.frame_bytes.len()),
                    "{}",
                    t.scenario
                );
            }
            for t in &published.chains {
                assert!(t.l1_gbps.0.iter().all(|(_, row)| row.len() == t.vms.len()));
            }
            for t in &published.latency {
                assert!(t.mean_and_p99_us.0.iter().all(|(_, row)| row.len() == t.load_of_max.len()));
            }
        }
        let one = find("software-switches-2019").unwrap();
        let v2v =
            one.throughput.iter().find(|t| t.scenario == "v2v" && t.direction == Direction::Uni).unwrap();
        assert_eq!(v2v.l1_gbps.0[5], ("VALE".to_owned(), vec![10.5, 27.34, 54.29]));
        assert_eq!(
            find("nosuch").unwrap_err(),
            "there are no published figures called \"nosuch\"; there is software-switches-2019"
        );
    }

    #[test]
    fn ours_stand_beside_what_measured_the_same_and_nothing_else() {
        let mut paced = trial("uvale", 256, 1, 9_000_000, 0);
        paced.offered = Offered::Pps { rate_pps: 9e6 };
        let mut four = trial("uvale", 1024, 1, 9_000_000, 0);
        four.vms = 4;
        let trials = [1, 2, 3].map(|repeat| trial("uvale", 64, repeat, u64::from(repeat) * 1_000_000, 0));
        let document = document(&["uvale"], trials.into_iter().chain([paced, four]).collect());
        let beside = find("software-switches-2019").unwrap().beside(&[&document]);
        assert_eq!(beside.tables.len(), 1);
        let table = &beside.tables[0];
        assert_eq!((table.scenario.as_str(), table.direction, table.rows.len()), ("v2v", Direction::Uni, 8));
        // Two million frames of 84 bytes on the line.
        assert_eq!(table.rows[0].l1_gbps, [Some(1.344), None, None]);
        let mut text = Vec::new();
        beside.write(&View::default(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("uvale (here)  1.34      -       -\n"), "{text}");
        assert!(text.contains("VALE          10.5   27.3    54.3\n"), "{text}");
        assert!(text.contains("another testbed") && text.lines().all(|l| l.chars().count() <= 80), "{text}");
    }
}
