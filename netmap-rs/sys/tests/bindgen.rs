//! This crate against an installed `net/netmap.h`, as bindgen read it: every constant, structure
//! and field of the one must be in the other and agree. Runs with the feature `bindgen`; see
//! `build.rs`.

use std::collections::BTreeMap;

use netmap_sys::abi::{CONSTANTS, STRUCTS};

/// What bindgen wrote, compiled: its own assertions hold its figures, which are the C compiler's,
/// against its definitions.
#[allow(dead_code, non_camel_case_types, non_snake_case, non_upper_case_globals, missing_docs)]
#[allow(unsafe_op_in_unsafe_fn, unreachable_pub, unused_qualifications, clippy::all)]
#[allow(clippy::undocumented_unsafe_blocks)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/netmap.rs"));
}

const TEXT: &str = include_str!(concat!(env!("OUT_DIR"), "/netmap.rs"));

/// The structure that has no name in C.
fn our_name(theirs: &str) -> &str {
    match theirs {
        "nmreq_opt_sync_kloop_eventfds__bindgen_ty_1" => "nmreq_opt_sync_kloop_eventfd",
        _ => theirs,
    }
}

/// Names and figures of the assertions `["LABEL NAME"][... - FIGUREusize]`.
fn figures(label: &str) -> BTreeMap<String, usize> {
    TEXT.split(&format!("\"{label} "))
        .skip(1)
        .map(|rest| {
            let (name, rest) = rest.split_once('"').expect("a closing quote");
            let (_, figure) = rest.split_once('-').expect("a figure");
            let (figure, _) = figure.split_once("usize").expect("a usize");
            (name.to_owned(), figure.trim().parse().expect("digits"))
        })
        .collect()
}

/// Constants with numbers for values; requests without the prefix that the build script gives them.
fn numbers() -> BTreeMap<&'static str, u64> {
    TEXT.lines()
        .filter_map(|line| line.trim().strip_prefix("pub const ")?.split_once(": "))
        .filter_map(|(name, rest)| {
            let value = rest.split_once(" = ")?.1.strip_suffix(';')?.parse().ok()?;
            Some((name.strip_prefix("request_").unwrap_or(name), value))
        })
        .collect()
}

/// Bytes of a type, by the text that stands for it.
fn bytes(type_name: &str, structs: &BTreeMap<String, usize>) -> usize {
    if let Some((element, count)) =
        type_name.strip_prefix('[').and_then(|t| t.strip_suffix("usize]")?.split_once("; "))
    {
        return bytes(element, structs) * count.parse::<usize>().expect("a length");
    }
    match type_name {
        "u8" | "::std::os::raw::c_char" => 1,
        "u16" => 2,
        "u32" | "i32" => 4,
        "u64" | "i64" | "__time_t" | "time_t" | "__suseconds_t" | "suseconds_t" => 8,
        flexible if flexible.starts_with("__IncompleteArrayField<") => 0,
        name => *structs.get(name).unwrap_or_else(|| panic!("type `{name}` is new to this test")),
    }
}

#[test]
fn constants() {
    let theirs = numbers();
    let ours: BTreeMap<&str, u64> = CONSTANTS.iter().copied().collect();
    assert_eq!(ours.len(), CONSTANTS.len(), "a constant is listed twice");
    let wrong: Vec<String> = theirs
        .keys()
        .chain(ours.keys())
        .filter(|name| theirs.get(**name) != ours.get(**name))
        .map(|name| format!("{name}: header {:?}, here {:?}", theirs.get(name), ours.get(name)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn strings() {
    let string = |bytes: &'static [u8]| std::str::from_utf8(bytes).unwrap().trim_end_matches('\0');
    assert_eq!(string(generated::NM_BDG_NAME), netmap_sys::NM_BDG_NAME);
    assert_eq!(string(generated::PTNETMAP_MEMDEV_NAME), netmap_sys::ptnet::PTNETMAP_MEMDEV_NAME);
}

#[test]
fn layouts() {
    // Name of a structure: size and alignment; of a field: offset.
    let mut theirs: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for label in ["Size of", "Alignment of"] {
        figures(label).into_iter().for_each(|(n, v)| theirs.entry(our_name(&n).into()).or_default().push(v));
    }
    for (path, offset) in figures("Offset of field:") {
        let (name, field) = path.split_once("::").expect("a field of a structure");
        theirs.insert(format!("{}::{field}", our_name(name)), vec![offset]);
    }
    let mut ours: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for s in STRUCTS {
        ours.insert(s.name.into(), vec![s.size, s.align]);
        for field in s.fields {
            ours.insert(format!("{}::{}", s.name, field.name), vec![field.offset]);
        }
    }
    // `timeval` is the C library's, and not in the list.
    theirs.retain(|name, _| !name.starts_with("timeval"));
    assert_eq!(figures("Size of")["timeval"], size_of::<netmap_sys::timeval>());

    let names = theirs.keys().chain(ours.keys());
    let wrong: Vec<String> = names
        .filter(|name| theirs.get(*name) != ours.get(*name))
        .map(|name| format!("{name}: header {:?}, here {:?}", theirs.get(name), ours.get(name)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn sizes_of_fields() {
    let structs = figures("Size of");
    let mut checked = 0;
    for part in TEXT.split("\npub struct ").skip(1) {
        let (name, rest) = part.split_once(' ').expect("a structure's name");
        let Some(ours) = STRUCTS.iter().find(|s| s.name == our_name(name)) else { continue };
        let (body, _) = rest.split_once("\n}").expect("a structure's end");
        for line in body.lines().filter_map(|line| line.trim().strip_prefix("pub ")) {
            let (field, type_name) = line.trim_end_matches(',').split_once(": ").expect("a field's type");
            if field.starts_with("__bindgen_padding") {
                continue;
            }
            let ours =
                ours.fields.iter().find(|f| f.name == field).unwrap_or_else(|| panic!("{name}.{field}"));
            assert_eq!(bytes(type_name, &structs), ours.size, "{name}.{field}");
            checked += 1;
        }
    }
    assert_eq!(checked, STRUCTS.iter().map(|s| s.fields.len()).sum::<usize>(), "fields that were compared");
}
