//! The parser. A [`Fault`] is a problem and the byte at which it begins; every function takes
//! the byte at which its text begins, so that faults count from the start of the whole string.

use std::num::NonZeroU16;

use super::{Conf, Extmem, Offset, Pipe, PipeRole, Pools, PortName, PortSpec, PortSpecError, Problem};
use super::{RegFlags, RegMode, RingId, Subsystem};

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
        options(&spec[end..], end, &mut parsed)?;
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

/// The options: `text` is empty or begins with `@`.
fn options(text: &str, base: usize, spec: &mut PortSpec) -> Result<(), Fault> {
    let mut at = 0;
    while at < text.len() {
        let start = at + 1;
        let end = text[start..].find('@').map_or(text.len(), |length| start + length);
        option(&text[start..end], base + start, spec)?;
        at = end;
    }
    Ok(())
}

/// One option, without its `@`.
fn option(text: &str, base: usize, spec: &mut PortSpec) -> Result<(), Fault> {
    let name_end = text.find([':', '=']).unwrap_or(text.len());
    let (name, body) = text.split_at(name_end);
    let body_at = base + name_end;
    let once = |option, given: bool| {
        if given { Err((base, Problem::DuplicateOption { option })) } else { Ok(()) }
    };
    match name {
        "share" => {
            once("share", spec.share.is_some())?;
            let values = SHARE.read(body, body_at)?;
            spec.share = values.last().map(share).transpose()?;
        }
        "extmem" => {
            once("extmem", spec.extmem.is_some())?;
            spec.extmem = Some(extmem(&EXTMEM.read(body, body_at)?, body_at)?);
        }
        "conf" => conf(&CONF.read(body, body_at)?, &mut spec.conf)?,
        "offset" => {
            once("offset", spec.offset.is_some())?;
            spec.offset = Some(offset(&OFFSET.read(body, body_at)?)?);
        }
        "" => return Err((base, Problem::MissingMemId)),
        _ => return Err((base, Problem::UnknownOption { name: name.into() })),
    }
    Ok(())
}

/// An option's keys.
struct Keys {
    option: &'static str,
    example: &'static str,
    /// The key that `option=value` sets.
    default: &'static str,
    /// Whether that key must be set.
    required: bool,
    /// All keys, in the words of a sentence.
    known: &'static str,
}

const SHARE: Keys =
    Keys { option: "share", example: "share=netmap:eth0", default: "port", required: true, known: "port" };
const EXTMEM: Keys = Keys {
    option: "extmem",
    example: "extmem=/dev/hugepages/netmap",
    default: "file",
    required: true,
    known: "file, if-num, if-size, ring-num, ring-size, buf-num, buf-size",
};
const CONF: Keys = Keys {
    option: "conf",
    example: "conf:rings=2,slots=512",
    default: "rings",
    required: false,
    known: "rings, tx-rings, rx-rings, host-rings, host-tx-rings, host-rx-rings, slots, tx-slots, rx-slots",
};
const OFFSET: Keys = Keys {
    option: "offset",
    example: "offset=64",
    default: "initial",
    required: true,
    known: "initial, bits",
};

/// A key's value and where it stands.
struct Value<'a> {
    key: &'static str,
    text: &'a str,
    at: usize,
}

impl Value<'_> {
    /// The value as a number up to `max`.
    fn number(&self, max: u64) -> Result<u64, Fault> {
        let decimal = !self.text.is_empty() && digits(self.text).len() == self.text.len();
        let number = if decimal { self.text.parse().ok() } else { None };
        number
            .filter(|n| *n <= max)
            .ok_or_else(|| (self.at, Problem::Number { key: self.key.into(), value: self.text.into(), max }))
    }

    fn u16(&self) -> Result<u16, Fault> {
        Ok(self.number(u16::MAX.into())? as u16)
    }

    fn u32(&self) -> Result<u32, Fault> {
        Ok(self.number(u32::MAX.into())? as u32)
    }
}

impl Keys {
    /// The key as it is listed, whether it was written with `-` or `_`.
    fn find(&self, key: &str) -> Option<&'static str> {
        self.known.split(", ").find(|known| {
            known.len() == key.len()
                && known.bytes().zip(key.bytes()).all(|(k, b)| k == b || (k == b'-' && b == b'_'))
        })
    }

    /// Keys and values of `body`, which is empty or begins with `=` or `:`.
    fn read<'a>(&self, body: &'a str, base: usize) -> Result<Vec<Value<'a>>, Fault> {
        let missing = || {
            (base + body.len().min(1), Problem::MissingBody { option: self.option, example: self.example })
        };
        let mut values: Vec<Value<'a>> = Vec::new();
        if let Some(text) = body.strip_prefix('=') {
            if text.is_empty() {
                return Err(missing());
            }
            values.push(Value { key: self.default, text, at: base + 1 });
        } else if let Some(pairs) = body.strip_prefix(':') {
            let mut at = base + 1;
            for pair in pairs.split(',') {
                values.push(self.pair(pair, at, &values)?);
                at += pair.len() + 1;
            }
        } else {
            return Err(missing());
        }
        if self.required && values.iter().all(|v| v.key != self.default) {
            return Err((base, Problem::MissingKey { option: self.option, key: self.default }));
        }
        Ok(values)
    }

    fn pair<'a>(&self, pair: &'a str, at: usize, before: &[Value<'_>]) -> Result<Value<'a>, Fault> {
        let (written, text) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(key) = self.find(written) else {
            if written.is_empty() {
                return Err((at, Problem::EmptyKey { option: self.option, known: self.known }));
            }
            let problem = Problem::UnknownKey { option: self.option, key: written.into(), known: self.known };
            return Err((at, problem));
        };
        if before.iter().any(|v| v.key == key) {
            return Err((at, Problem::DuplicateKey { option: self.option, key: key.into() }));
        }
        if text.is_empty() {
            return Err((at + pair.len(), Problem::MissingValue { option: self.option, key: key.into() }));
        }
        Ok(Value { key, text, at: at + written.len() + 1 })
    }
}

fn share(value: &Value<'_>) -> Result<PortName, Fault> {
    if !is_netmap(value.text) {
        return Err((value.at, Problem::ShareNotNetmap { value: value.text.into() }));
    }
    let (name, end) = name(value.text, value.at)?;
    match &value.text[end..] {
        "" => Ok(name),
        rest => Err((value.at + end, Problem::ShareSuffix { rest: rest.into() })),
    }
}

fn extmem(values: &[Value<'_>], at: usize) -> Result<Extmem, Fault> {
    let (mut file, mut pools) = (("", at), Pools::default());
    for value in values {
        match value.key {
            "file" => file = (value.text, value.at),
            "if-num" => pools.if_num = value.u32()?,
            "if-size" => pools.if_size = value.u32()?,
            "ring-num" => pools.ring_num = value.u32()?,
            "ring-size" => pools.ring_size = value.u32()?,
            "buf-num" => pools.buf_num = value.u32()?,
            "buf-size" => pools.buf_size = value.u32()?,
            key => unreachable!("{key} is a key of extmem"),
        }
    }
    Extmem::new(file.0, pools).map_err(|problem| (file.1, problem))
}

/// Keys for one direction override those for both, wherever they stand.
fn conf(values: &[Value<'_>], conf: &mut Conf) -> Result<(), Fault> {
    let (both, single): (Vec<_>, Vec<_>) =
        values.iter().partition(|v| matches!(v.key, "rings" | "host-rings" | "slots"));
    for value in both {
        match value.key {
            "rings" => (conf.tx_rings, conf.rx_rings) = (value.u16()?, value.u16()?),
            "host-rings" => (conf.host_tx_rings, conf.host_rx_rings) = (value.u16()?, value.u16()?),
            _ => (conf.tx_slots, conf.rx_slots) = (value.u32()?, value.u32()?),
        }
    }
    for value in single {
        match value.key {
            "tx-rings" => conf.tx_rings = value.u16()?,
            "rx-rings" => conf.rx_rings = value.u16()?,
            "host-tx-rings" => conf.host_tx_rings = value.u16()?,
            "host-rx-rings" => conf.host_rx_rings = value.u16()?,
            "tx-slots" => conf.tx_slots = value.u32()?,
            "rx-slots" => conf.rx_slots = value.u32()?,
            key => unreachable!("{key} is a key of conf"),
        }
    }
    Ok(())
}

fn offset(values: &[Value<'_>]) -> Result<Offset, Fault> {
    let mut offset = Offset { initial: 0, bits: 0 };
    for value in values {
        match value.key {
            "initial" => offset.initial = value.number(u64::MAX)?,
            _ => offset.bits = value.number(u64::BITS.into())? as u32,
        }
    }
    Ok(offset)
}
