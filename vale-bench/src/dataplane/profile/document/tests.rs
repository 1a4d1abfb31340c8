//! Profiles that are right, and the many ways in which one is not.

use super::*;
use proptest::prelude::*;
use std::fs;

const GOOD: &str = r#"
name = "one"
what = "a switch"
tested = false
roles = ["server"]
joins = "pairs"
[each_port]
devices = ["--vdev", "net${number},iface=${socket}"]
[start]
command = ["switch", "${devices}", "--cpu", "${cpu}"]
[ready]
exists = "${dir}/socket"
[counters]
command = ["ctl", "show", "${name}"]
taken = 'rx (\d+)'
delivered = 'tx (\d+)'
[threads]
busy = "worker"
"#;

fn parse(text: &str) -> Result<Document, ProfileError> {
    Document::parse(Path::new("one.toml"), text)
}

fn sentence(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn a_profile_is_read() {
    let document = parse(GOOD).unwrap();
    assert_eq!(document.name.get_ref(), "one");
    assert_eq!(*document.roles.get_ref(), [Role::Server]);
    assert_eq!(document.ready.within_s, 30);
    assert!(
        matches!(document.each_port.values().next(), Some(Fragment::Arguments(words)) if words.len() == 2)
    );
}

#[test]
fn mistakes_are_told_with_line_column_and_the_nearest_key() {
    for (from, to, words) in [
        ("what =", "waht =", &["one.toml:3:1:", "`waht`", "did you mean `what`?"][..]),
        ("exists =", "exist =", &["one.toml:12:1:", "did you mean `exists`?"]),
        ("\"server\"", "\"sever\"", &["one.toml:5:10:", "did you mean `server`?"]),
        ("tested = false\n", "", &["one.toml", "missing field `tested`"]),
        ("tested = false", "tested = \"no\"", &["one.toml:4:10:", "boolean"]),
        ("${cpu}", "${cpuu}", &["one.toml:10:45:", "${cpuu}", "did you mean ${cpu}?"]),
        ("${socket}", "${devices}", &["one.toml:8:22:", "${devices}"]),
        ("${dir}/socket", "${dir/socket", &["one.toml:12:10:", "${ without its }"]),
        ("'rx (\\d+)'", "'rx \\d+'", &["one.toml:15:9:", "one group"]),
        ("'rx (\\d+)'", "'rx (\\d+'", &["one.toml:15:9:", "no pattern"]),
        ("command = [\"ctl\"", "tell = [\"ctl\"", &["one.toml:14:8:"]),
        ("[\"server\"]", "[]", &["one.toml:5:9:", "roles are"]),
        ("\"one\"", "\"../one\"", &["one.toml:2:8:", "letters"]),
        ("devices = [", "cpu = [", &["one.toml:8:1:", "cpu", "taken"]),
        ("name = \"one\"", "name = \"one", &["one.toml:2:"]),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let text = GOOD.replacen(from, to, 1);
        let told = sentence(&text);
        for word in words {
            assert!(told.contains(word), "{from} -> {to}: {word}: {told}");
        }
    }
}

#[test]
fn the_profiles_of_this_project_are_right_and_say_whether_they_were_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../profiles");
    let mut tested = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let document = Document::parse(&path, &text).unwrap_or_else(|e| panic!("{e}"));
        let first = text.lines().next().unwrap_or_default();
        assert_eq!(document.tested, !first.contains("UNTESTED"), "{}", path.display());
        if document.tested {
            tested.push(document.name.get_ref().clone());
        }
    }
    assert_eq!(tested, ["testpmd-profile"], "what tests/ runs");
}

proptest! {
    #[test]
    fn no_text_is_too_odd_to_be_refused(text in "\\PC{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn a_profile_with_a_damaged_byte_is_read_or_refused_with_a_place(at in 0..GOOD.len(), byte in any::<char>()) {
        let text: String = GOOD.char_indices().map(|(i, c)| if i == at { byte } else { c }).collect();
        if let Err(error) = parse(&text) {
            let told = error.to_string();
            prop_assert!(told.starts_with("one.toml:"), "{}", told);
            let (line, column) = error.place.unwrap_or((1, 1));
            let lines: Vec<&str> = text.split('\n').collect();
            prop_assert!(line >= 1 && line <= lines.len(), "{}", told);
            prop_assert!(column <= lines[line - 1].chars().count() + 1, "{}", told);
        }
    }
}
