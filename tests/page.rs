//! The report's page in a real browser: at several widths, dark and light, on paper, by keyboard, read aloud, and
//! made from documents that mean harm.

mod fixture;

use std::fs;
use std::path::{Path, PathBuf};

use fixture::{Bench, Browser, sample};
use serde_json::{Value, json};

/// Widths of a phone, a tablet and a desk.
const WIDTHS: [u32; 3] = [360, 800, 1280];

/// What of the page lies beyond the window or is cut off: a script that returns sentences.
const FAULTS: &str = include_str!("fixture/faults.js");

/// Makes the page of `files` and returns where it is.
fn page(bench: &Bench, files: &str) -> PathBuf {
    bench.run(&format!("report {files} --html out/")).exits(0).prints_nothing();
    bench.path("out/index.html")
}

fn strings(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items.map(|item| item.as_str().unwrap_or_default().to_owned()).collect()
}

/// Opens the page at every width; nothing may be asked for, said or cut off.
fn holds_everywhere(browser: &mut Browser, page: &Path, name: &str) {
    for width in WIDTHS {
        let said = browser.open(page, width);
        assert_eq!(said, [""; 0], "{name} at {width} px");
        let faults = strings(&browser.evaluate(FAULTS));
        browser.picture(&format!("{name}-{width}"));
        assert_eq!(faults, [""; 0], "{name} at {width} px");
    }
}

#[test]
fn a_page_asks_for_nothing_and_fits_every_window() {
    let bench = Bench::idle();
    let Some(mut browser) = Browser::start() else { return };
    for (name, files) in [
        ("one", vec!["v2v"]),
        ("sizes", vec!["p2p"]),
        ("several", vec!["p2p", "v2v", "v2v-4"]),
        ("against", vec!["v2v", "v2v-after"]),
    ] {
        let paths: Vec<String> = files.iter().map(|file| sample(file).display().to_string()).collect();
        let page = page(&bench, &paths.join(" "));
        holds_everywhere(&mut browser, &page, name);
    }
}

#[test]
fn a_hostile_document_is_shown_and_does_nothing() {
    let bench = Bench::idle();
    let Some(mut browser) = Browser::start() else { return };
    let text = fs::read_to_string(sample("v2v")).unwrap();
    let mut document: Value = serde_json::from_str(&text).unwrap();
    let harm = "</title></style></svg><script>document.title='harmed'</script>\
                <img src=http://192.0.2.1/x onerror=\"document.title='harmed'\">&amp;'\"";
    let long = "a-name-without-end".repeat(200);
    document["manifest"]["host"]["cpu"]["model"] = json!(harm);
    document["manifest"]["host"]["kernel_command_line"] = json!(long);
    document["manifest"]["command_line"] = json!([harm, "\u{1b}[2J\u{202e}", long]);
    document["plan"]["dataplanes"] = json!([harm, long]);
    document["incomplete"] = json!(harm);
    document["skipped"] = json!([{"scenario": harm, "dataplane": long, "reason": harm}]);
    document["warnings"] = json!([{"kind": "kvm_unusable", "reason": harm}]);
    let trials = document["trials"].as_array_mut().unwrap();
    let copy: Vec<Value> = trials.clone();
    trials.extend(copy);
    let half = trials.len() / 2;
    for (index, trial) in trials.iter_mut().enumerate() {
        trial["scenario"] = json!(harm);
        trial["dataplane"]["name"] = json!(if index < half { harm } else { &long });
        trial["frame_size"]["label"] = json!(format!("{}{harm}", trial["frame_size"]["label"]));
    }
    fs::write(bench.path("harm.json"), document.to_string()).unwrap();
    let page = page(&bench, "harm.json");
    holds_everywhere(&mut browser, &page, "hostile");
    assert_ne!(browser.evaluate("document.title"), "harmed");
    assert_eq!(browser.evaluate("document.querySelectorAll('script, img, iframe, object, link').length"), 0);
    assert!(browser.evaluate("document.body.textContent").as_str().unwrap().contains("<script>"));
    // The page would not let it, even if it came to it.
    let blocked = "new Promise(done => { \
                   document.addEventListener('securitypolicyviolation', () => done('blocked')); \
                   const script = document.createElement('script'); script.textContent = 'document.title=\"harmed\"'; \
                   document.body.append(script); setTimeout(() => done('ran'), 2000); })";
    assert_eq!(browser.evaluate(blocked), "blocked");
}

#[test]
fn dark_light_and_on_paper() {
    let bench = Bench::idle();
    let Some(mut browser) = Browser::start() else { return };
    let page = page(&bench, &format!("{} {}", sample("p2p").display(), sample("v2v").display()));
    browser.open(&page, 1280);
    // Of the page and of a plot's letters, as sRGB.
    let look = "[getComputedStyle(document.body).backgroundColor, \
                 getComputedStyle(document.querySelector('svg.wide text')).fill, \
                 getComputedStyle(document.querySelector('svg.wide .bar')).fill]";
    let mut looks = Vec::new();
    for (medium, colours) in [("screen", "light"), ("screen", "dark"), ("print", "dark")] {
        browser.emulate(medium, colours);
        looks.push(strings(&browser.evaluate(look)));
        browser.picture(&format!("{medium}-{colours}"));
    }
    assert_eq!(looks[0][0], "rgb(255, 255, 255)");
    assert!((0..3).all(|part| looks[0][part] != looks[1][part]), "{looks:?}");
    assert_eq!(looks[0], looks[2], "on paper it is light");
    // On paper nothing can be opened, so everything is open.
    let hidden = "[...document.querySelectorAll('details table, details pre')] \
                  .filter(e => !e.checkVisibility() || e.getBoundingClientRect().height < 10).length";
    assert_eq!(browser.evaluate(hidden), 0);
    browser.emulate("", "light");
    let printed = browser.print("paper");
    assert!(printed.starts_with(b"%PDF-") && printed.len() > 20_000, "{} bytes", printed.len());
}

#[test]
fn by_keyboard_and_read_aloud() {
    let bench = Bench::idle();
    let Some(mut browser) = Browser::start() else { return };
    let page = page(&bench, &sample("v2v").display().to_string());
    browser.open(&page, 1280);
    let here = "document.activeElement.className + ' ' + document.activeElement.tagName";
    browser.press("Tab", 9);
    assert_eq!(browser.evaluate(here), "skip A");
    // Every figure's numbers can be opened from the keyboard.
    let count = browser.evaluate("document.querySelectorAll('summary').length").as_u64().unwrap();
    let mut opened = 0;
    for _ in 0..400 {
        browser.press("Tab", 9);
        if browser.evaluate(here) == " SUMMARY" {
            browser.press("Enter", 13);
            opened += 1;
        }
        if opened == count {
            break;
        }
    }
    assert_eq!(browser.evaluate("document.querySelectorAll('details[open]').length"), count);
    let nodes = browser.call("Accessibility.getFullAXTree", json!({}))["nodes"].clone();
    let nodes = nodes.as_array().unwrap();
    let named = |role: &str| -> Vec<String> {
        let of_role = nodes.iter().filter(|node| node["role"]["value"] == role && node["ignored"] == false);
        of_role.map(|node| node["name"]["value"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let pictures = named("image");
    assert!(!pictures.is_empty() && pictures.iter().all(|name| name.len() > 30), "{pictures:?}");
    let figures = named("figure");
    assert!(!figures.is_empty() && figures.iter().all(|name| name.len() > 8), "{figures:?}");
    // A table behind every figure.
    let bare = "[...document.querySelectorAll('figure')] \
                .filter(e => !e.querySelector('table tbody tr') || !e.querySelector('pre')).length";
    assert_eq!(browser.evaluate(bare), 0);
    let levels = strings(&browser.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(e => e.tagName)"));
    assert_eq!(levels.iter().filter(|level| *level == "H1").count(), 1);
    let steps = levels.windows(2).all(|pair| pair[1].as_bytes()[1] <= pair[0].as_bytes()[1] + 1);
    assert!(steps, "no level of heading is left out: {levels:?}");
}
