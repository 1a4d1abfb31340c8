//! Who competes with whom, and where.

use super::*;
use crate::result::tests::{document, trial};
use crate::result::{Direction, ResultDocument};

fn kept(documents: Vec<(&str, ResultDocument)>) -> Vec<Kept> {
    Kept::name_all(documents.into_iter().map(|(name, document)| (name.into(), document)))
}

fn labels(results: &[Kept]) -> Vec<String> {
    Study::new(results).arms.into_iter().map(|arm| arm.label).collect()
}

#[test]
fn dataplanes_compete_in_the_order_asked_for() {
    let trials =
        vec![trial("vale", 64, 1, 1000, 0), trial("uvale", 64, 1, 2000, 0), trial("vale", 64, 2, 1100, 0)];
    let results = kept(vec![("r.json", document(&["uvale", "vale"], trials))]);
    let study = Study::new(&results);
    assert_eq!(labels(&results), ["uvale", "vale"]);
    let [panel] = study.panels.as_slice() else { panic!() };
    let cells: Vec<_> = panel.cells.iter().map(|cell| (cell.arm, cell.trials.len())).collect();
    assert_eq!(cells, [(0, 1), (1, 2)]);
    assert_eq!(study.ratio(panel, &panel.cells[0]), None);
    assert_eq!(study.ratio(panel, &panel.cells[1]), Some(0.525));
}

#[test]
fn documents_that_measured_the_same_compete_and_others_complement_each_other() {
    let one = |frames| document(&["uvale"], vec![trial("uvale", 64, 1, frames, 0)]);
    let mut other = trial("uvale", 64, 1, 500, 0);
    other.scenario = "p2p".into();
    let results = kept(vec![("a.json", one(1000)), ("b.json", one(2000))]);
    assert_eq!(labels(&results), ["a", "b"]);
    let results = kept(vec![("a.json", one(1000)), ("c.json", document(&["uvale"], vec![other.clone()]))]);
    assert_eq!(labels(&results), ["uvale"]);
    assert_eq!(Study::new(&results).panels.len(), 2);
    // A search is another question.
    let mut searched = document(&["uvale"], Vec::new());
    searched.searches = vec![crate::report::exhibits::tests::search()];
    let results = kept(vec![("a.json", one(1000)), ("s.json", searched)]);
    assert_eq!(labels(&results), ["uvale"]);
    let two = document(&["uvale", "vale"], vec![trial("uvale", 64, 1, 1, 0), trial("vale", 64, 1, 1, 0)]);
    let results = kept(vec![("a.json", two), ("b.json", one(2000))]);
    assert_eq!(labels(&results), ["a: uvale", "a: vale", "b: uvale"]);
}

#[test]
fn variants_of_a_dataplane_are_told_apart_by_what_differs() {
    let mut small = trial("uvale", 64, 1, 1000, 0);
    small.dataplane.parameters.insert("slots".into(), "256".into());
    let mut kvm = trial("uvale", 64, 1, 1000, 0);
    kvm.dataplane.accelerator = Accelerator::Kvm;
    let usual = trial("uvale", 64, 1, 1000, 0);
    let results = kept(vec![("r.json", document(&["uvale"], vec![usual.clone(), small]))]);
    assert_eq!(labels(&results), ["uvale, slots=1024", "uvale, slots=256"]);
    let results = kept(vec![("r.json", document(&["uvale"], vec![usual, kvm]))]);
    assert_eq!(labels(&results), ["uvale, accelerator=TCG", "uvale, accelerator=KVM"]);
}

#[test]
fn panels_have_titles_and_names_for_files() {
    let mut paced = trial("uvale", 64, 1, 1000, 0);
    paced.offered = Offered::Pps { rate_pps: 2.5e6 };
    paced.direction = Direction::Bidi;
    paced.flows = 16;
    let mut odd = trial("uvale", 64, 1, 1000, 0);
    odd.scenario = "../<b>\u{202e}".into();
    let results = kept(vec![("r.json", document(&["uvale"], vec![paced, odd]))]);
    let study = Study::new(&results);
    let titles: Vec<_> = study.panels.iter().map(|panel| (panel.title(), panel.slug())).collect();
    let [(title, slug), (odd_title, odd_slug)] = titles.as_slice() else { panic!() };
    assert_eq!(title, "VM to VM (v2v), 2 guests, both ways, 2.5 Mpps offered, 16 flows");
    assert_eq!(slug, "v2v-2vm-bidi-2500000pps-16flows");
    assert!(
        odd_title.starts_with("../<b>\u{fffd}, 2 guests") && odd_slug == "b-2vm-uni",
        "{odd_title} {odd_slug}"
    );
}
