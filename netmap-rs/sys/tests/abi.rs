//! Every line of `abi/api14.txt`, what a C program printed, against this crate's definitions.

use netmap_sys::abi::{CONSTANTS, Field, STRUCTS, Struct};

const PRINTED: &str = include_str!("../abi/api14.txt");

fn structure(name: &str) -> Result<&'static Struct, String> {
    STRUCTS.iter().find(|s| s.name == name).ok_or_else(|| format!("no structure {name}"))
}

fn field(path: &str) -> Result<&'static Field, String> {
    let (of, name) = path.split_once('.').ok_or("no `.` in the field's name")?;
    structure(of)?.fields.iter().find(|f| f.name == name).ok_or_else(|| format!("no field {path}"))
}

fn number<T>(text: &str) -> Result<T, String>
where
    T: TryFrom<u64>,
{
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    let value = parsed.map_err(|e| format!("{text}: {e}"))?;
    T::try_from(value).map_err(|_| format!("{text}: too large"))
}

/// What one line states and what this crate defines in its place.
fn check(line: &str) -> Result<(), String> {
    let words: Vec<&str> = line.split(' ').collect();
    let (printed, ours) = match words[..] {
        // FreeBSD encodes its requests otherwise; `asserts.rs` has those figures.
        ["const", name, _] if name.starts_with("NIOC") && cfg!(target_os = "freebsd") => return Ok(()),
        ["const", name, value] => {
            let ours = CONSTANTS.iter().find(|(n, _)| *n == name).ok_or("no such constant")?;
            (vec![number(value)?], vec![ours.1 as usize])
        }
        ["struct", name, "size", size, "align", "-"] => (vec![number(size)?], vec![structure(name)?.size]),
        ["struct", name, "size", size, "align", align] => {
            let ours = structure(name)?;
            (vec![number(size)?, number(align)?], vec![ours.size, ours.align])
        }
        ["field", path, "at", offset, "size", size] => {
            let ours = field(path)?;
            (vec![number(offset)?, number(size)?], vec![ours.offset, ours.size])
        }
        ["array", path, "at", offset, "each", size] => {
            let element = match path {
                "netmap_ring.slot" => structure("netmap_slot")?.size,
                "netmap_if.ring_ofs" => size_of::<isize>(),
                "nmreq_opt_sync_kloop_eventfds.eventfds" => structure("nmreq_opt_sync_kloop_eventfd")?.size,
                _ => return Err("an array this test does not know".into()),
            };
            let ours = field(path)?;
            (vec![number(offset)?, number(size)?, 0], vec![ours.offset, element, ours.size])
        }
        _ => return Err("not understood".into()),
    };
    if printed == ours { Ok(()) } else { Err(format!("printed {printed:?}, here {ours:?}")) }
}

fn statements() -> impl Iterator<Item = &'static str> {
    PRINTED.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[test]
fn every_printed_line_holds() {
    let wrong: Vec<String> =
        statements().filter_map(|line| check(line).err().map(|e| format!("{line}: {e}"))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_check_notices_a_difference() {
    for line in [
        "const NETMAP_API 0xd",
        "const NETMAP_NOT_THERE 0x1",
        "struct nmreq_header size 88 align 4",
        "struct nmreq size 64 align -",
        "field nmreq_header.nr_name at 8 size 63",
        "field nmreq_header.nr_name at 9 size 64",
        "field nmreq_header.nr_nothing at 9 size 64",
        "array netmap_ring.slot at 256 each 24",
        "something else",
    ] {
        assert!(check(line).is_err(), "{line}");
    }
}

#[test]
fn every_structure_is_in_the_printed_table() {
    // The one that was not printed; the headers' own checks (feature `bindgen`) cover it.
    const NOT_PRINTED: &[&str] = &["nm_ifreq"];
    for s in STRUCTS.iter().filter(|s| !NOT_PRINTED.contains(&s.name)) {
        assert!(
            statements().any(|line| line.starts_with(&format!("struct {} ", s.name))),
            "{} is not in abi/api14.txt",
            s.name
        );
    }
}
