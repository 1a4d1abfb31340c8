//! The parser. A [`Fault`] is a problem and the byte at which it begins; every function takes
//! the byte at which its text begins, so that faults count from the start of the whole string.

mod options;

use std::num::NonZeroU16;

use super::{
    Pipe, PipeRole, PortName, PortSpec, PortSpecError, Problem, RegFlags, RegMode, RingId, Subsystem,
};

type Fault = (usize, Problem);

/// Characters that end a port's name.
const NAME_ENDS: &[char] = &['-', '*', '^', '/', '@'];

/// Whether `spec` is netmap's to judge.
fn is_netmap(spec: &str) -> bool {
    spec.starts_with("netmap") || spec.starts_with("vale")
}

/// Runs `parser` over `spec` and puts the string into its error.
fn whole<T>(spec: &str, parser: impl FnOnce(&str) -> Result<T, Fault>) -> Result<T, PortSpecError> {
    let syntax = |(at, problem)| PortSpecError::Syntax { spec: spec.into(), at, problem };
    if spec.is_empty() {
        return Err(syntax((0, Problem::Empty)));
    }
    if !is_netmap(spec) {
        return Err(PortSpecError::NotNetmap { spec: spec.into() });
    }
    parser(spec).map_err(syntax)
}

/// A specification.
pub(super) fn port_spec(spec: &str) -> Result<PortSpec, PortSpecError> {
    whole(spec, |spec| {
        let (name, end) = name(spec, 0)?;
        let mut parsed = PortSpec::new(name);
        let end = end + suffixes(&spec[end..], end, &mut parsed)?;
        options::options(&spec[end..], end, &mut parsed)?;
        Ok(parsed)
    })
}

/// A name with nothing behind it.
pub(super) fn port_name(spec: &str) -> Result<PortName, PortSpecError> {
    whole(spec, |spec| {
        let (name, end) = name(spec, 0)?;
        match spec[end..].chars().next() {
            None => Ok(name),
            Some(found) => {
                Err((end, Problem::Unexpected { found, expected: "only the name of a port is wanted here" }))
            }
        }
    })
}

fn identifier(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The first character of `text` for which `wrong` holds, and its byte.
fn find(text: &str, base: usize, wrong: impl Fn(char) -> bool) -> Option<(usize, char)> {
    text.char_indices().find(|(_, c)| wrong(*c)).map(|(at, c)| (base + at, c))
}

/// The name that `text` begins with, and its length.
fn name(text: &str, base: usize) -> Result<(PortName, usize), Fault> {
    let mut skipped = 0;
    if let Some(rest) = text.strip_prefix("netmap") {
        match rest.find(':') {
            Some(0) => skipped = "netmap:".len(),
            Some(colon) => {
                return Err((base + 6, Problem::NetmapIdentifier { found: rest[..colon].into() }));
            }
            None => return Err((base + text.len(), Problem::MissingColon { prefix: text.into() })),
        }
    }
    let (text, base) = (&text[skipped..], base + skipped);

    let vale = text.starts_with("vale");
    let port_at = if vale { switch_length(text, base, skipped > 0)? + 1 } else { 0 };
    let end = text[port_at..].find(NAME_ENDS).map_or(text.len(), |at| port_at + at);
    let (port, pipe) = match text[port_at..end].find(['{', '}']) {
        None => (&text[port_at..end], None),
        Some(bracket) => {
            let at = port_at + bracket;
            (&text[port_at..at], Some(pipe(&text[at..end], base + at)?))
        }
    };
    if port.is_empty() {
        return Err((base + port_at, Problem::EmptyPort));
    }
    let unfit = |c: char| c.is_whitespace() || c.is_control() || c == ':';
    if let Some((at, found)) = find(port, base + port_at, unfit) {
        return Err((at, Problem::PortCharacter { found }));
    }

    let subsystem =
        if vale { Subsystem::Vale { switch: text[..port_at - 1].into() } } else { Subsystem::Netmap };
    let name = PortName { subsystem, port: port.into(), pipe };
    match name.too_long() {
        Some((at, problem)) => Err((base + at, problem)),
        None => Ok((name, skipped + end)),
    }
}

/// The length of the switch's name that `text`, which begins with `vale`, begins with. A `:` ends it.
fn switch_length(text: &str, base: usize, behind_netmap: bool) -> Result<usize, Fault> {
    match text.find(':') {
        Some(colon) => match find(&text[..colon], base, |c| !identifier(c)) {
            Some((at, found)) => Err((at, Problem::SwitchCharacter { found })),
            None => Ok(colon),
        },
        None => {
            let end = text.find(|c| !identifier(c)).unwrap_or(text.len());
            let name = text[..end].to_owned();
            let problem = if behind_netmap {
                Problem::ValeWithoutPort { name }
            } else {
                Problem::MissingColon { prefix: name }
            };
            Err((base + end, problem))
        }
    }
}

/// The pipe that `text` is, from its bracket on.
fn pipe(text: &str, base: usize) -> Result<Pipe, Fault> {
    let role = if text.starts_with('{') { PipeRole::Master } else { PipeRole::Slave };
    let id = &text[1..];
    if id.is_empty() {
        return Err((base + 1, Problem::EmptyPipe { bracket: role.bracket() }));
    }
    match find(id, base + 1, |c| !identifier(c)) {
        Some((at, found)) => Err((at, Problem::PipeCharacter { found })),
        None => Ok(Pipe { role, id: id.into() }),
    }
}

/// The digits that `text` begins with.
fn digits(text: &str) -> &str {
    &text[..text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())]
}

fn ring(digits: &str, at: usize) -> Result<RingId, Fault> {
    let ring = digits.parse().ok().and_then(RingId::new);
    ring.ok_or_else(|| (at, Problem::RingRange { digits: digits.into() }))
}

/// Mode, flags and memory ids; gives back how many bytes they take. What is left is empty or
/// begins with the `@` of an option.
fn suffixes(text: &str, base: usize, spec: &mut PortSpec) -> Result<usize, Fault> {
    let mut at = mode(text, base, spec)?;
    while let Some(found) = text[at..].chars().next() {
        let rest = &text[at + found.len_utf8()..];
        match found {
            '/' => {
                let letters = &rest[..rest.find('@').unwrap_or(rest.len())];
                // No flag at all is a mistake at the end of the string only, as in libnetmap.
                if rest.is_empty() {
                    return Err((base + at + 1, Problem::MissingFlags));
                }
                flags(letters, base + at + 1, &mut spec.flags)?;
                at += 1 + letters.len();
            }
            '@' => {
                let number = digits(rest);
                if rest.is_empty() {
                    return Err((base + at + 1, Problem::MissingMemId));
                }
                if number.is_empty() {
                    return Ok(at);
                }
                mem_id(number, base + at + 1, spec)?;
                at += 1 + number.len();
            }
            _ => {
                let expected = if at == 0 {
                    "a port's name is followed by `-`, `^`, `*`, `/` or `@`"
                } else {
                    "here `/` and flags, or `@` and a memory id or an option can follow"
                };
                return Err((base + at, Problem::Unexpected { found, expected }));
            }
        }
    }
    Ok(at)
}

/// The mode that `text` begins with, if it does.
fn mode(text: &str, base: usize, spec: &mut PortSpec) -> Result<usize, Fault> {
    let Some(first) = text.chars().next() else { return Ok(0) };
    let number = digits(text.get(1..).unwrap_or_default());
    spec.mode = match first {
        '*' => {
            spec.mode = RegMode::NicAndHost;
            return Ok(1);
        }
        '^' if number.is_empty() => {
            spec.mode = RegMode::Host;
            return Ok(1);
        }
        '^' => RegMode::OneHost(ring(number, base + 1)?),
        '-' if number.is_empty() => {
            return Err((base + 1, Problem::RingMissing { found: text[1..].chars().next() }));
        }
        '-' => RegMode::OneNic(ring(number, base + 1)?),
        _ => return Ok(0),
    };
    Ok(1 + number.len())
}

fn flags(letters: &str, base: usize, flags: &mut RegFlags) -> Result<(), Fault> {
    for (at, letter) in letters.char_indices() {
        if !flags.set(letter) {
            return Err((base + at, Problem::UnknownFlag { found: letter }));
        }
    }
    Ok(())
}

fn mem_id(digits: &str, at: usize, spec: &mut PortSpec) -> Result<(), Fault> {
    let id: NonZeroU16 = digits.parse().map_err(|_| (at, Problem::MemIdRange { digits: digits.into() }))?;
    match spec.mem_id {
        Some(first) if first != id => {
            Err((at, Problem::MemIdConflict { first: first.get(), second: id.get() }))
        }
        _ => {
            spec.mem_id = Some(id);
            Ok(())
        }
    }
}
