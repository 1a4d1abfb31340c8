//! The options, from the first `@` on that no number follows.

use super::super::{Conf, Extmem, Offset, Pools, PortName, PortSpec, Problem};
use super::{Fault, digits, is_netmap, name};

/// The options: `text` is empty or begins with `@`.
pub(super) fn options(text: &str, base: usize, spec: &mut PortSpec) -> Result<(), Fault> {
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
