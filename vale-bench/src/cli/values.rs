//! Parsers of single arguments that are of no use elsewhere. Their errors complete clap's sentences.

use std::net::Ipv4Addr;

use crate::catalogue;
use crate::units::{SizeSpec, parse_rate, parse_sizes, parse_slot_length};
use pktgen::spec::{Rate, Sizes};

/// The UDP port pkt-gen uses when none is given.
const DEFAULT_UDP_PORT: u16 = 1234;

/// An IPv4 address and a UDP port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// Address.
    pub ip: Ipv4Addr,
    /// UDP port.
    pub port: u16,
}

/// `10.0.0.1` or `10.0.0.1:1234`.
pub(super) fn endpoint(text: &str) -> Result<Endpoint, String> {
    if text.contains('-') {
        return Err("a range of addresses is not taken here; --flows N varies the source".into());
    }
    let (ip, port) = match text.split_once(':') {
        Some((ip, port)) => (ip, Some(port)),
        None => (text, None),
    };
    let ip = ip.parse().map_err(|_| format!("{ip:?} is not an IPv4 address, as in 10.0.0.1:1234"))?;
    let port = match port {
        None => DEFAULT_UDP_PORT,
        Some(port) => port.parse().map_err(|_| format!("{port:?} is not a UDP port (0 to 65535)"))?,
    };
    Ok(Endpoint { ip, port })
}

/// `aa:bb:cc:dd:ee:00`.
pub(super) fn mac(text: &str) -> Result<[u8; 6], String> {
    let wrong = || format!("{text:?} is not an Ethernet address, as in 02:00:00:00:00:01");
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        let part = parts.next().filter(|part| (1..=2).contains(&part.len())).ok_or_else(wrong)?;
        if !part.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        *byte = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
    }
    if parts.next().is_some() { Err(wrong()) } else { Ok(mac) }
}

/// The address frames come from: one that is no group's, or a switch would learn nothing from it.
pub(super) fn source_mac(text: &str) -> Result<[u8; 6], String> {
    let mac = mac(text)?;
    if mac[0] & 1 == 1 {
        return Err(format!("{text} is a group's address; a sender needs one of its own"));
    }
    Ok(mac)
}

/// An even number of guests that one switch can hold.
pub(super) fn guests(text: &str) -> Result<u32, String> {
    /// Ports of a VALE switch.
    const GUESTS_MAX: u32 = 254;
    match text.parse::<u32>() {
        Err(_) => Err(format!("{text:?} is not a number of guests")),
        Ok(0) => Err("v2v needs guests: two for each pair".into()),
        Ok(odd) if odd % 2 == 1 => {
            Err(format!("v2v pairs guests, so their number must be even; {odd} leaves one alone"))
        }
        Ok(many) if many > GUESTS_MAX => Err(format!("a switch has at most {GUESTS_MAX} ports")),
        Ok(guests) => Ok(guests),
    }
}

/// The name of a dataplane of this program.
pub(super) fn dataplane(text: &str) -> Result<String, String> {
    catalogue::dataplane(text).map(|entry| entry.name.to_owned())
}

/// A switch's name by VALE's rules (`nm_bdg_name_validate` in netmap's `netmap_bdg.c`).
pub(super) fn switch_name(text: &str) -> Result<String, String> {
    /// An interface name's room without its NUL.
    const NAME_MAX: usize = 15;
    let good = text.starts_with("vale") && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match (good, text.len() <= NAME_MAX) {
        (true, true) => Ok(text.to_owned()),
        (true, false) => Err(format!("a switch's name has at most {NAME_MAX} characters")),
        (false, _) => Err("a switch is called vale and letters, digits or _, as in vale0".into()),
    }
}

/// A port's name, whose grammar is for whoever opens it.
pub(super) fn port(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("an empty name is no port; name one, as in vale0:1".into()),
        name => Ok(name.to_owned()),
    }
}

/// One frame size or mix.
pub(super) fn one_size(text: &str) -> Result<SizeSpec, String> {
    match parse_sizes(text).map_err(|error| error.to_string())?.as_slice() {
        [one] => Ok(one.clone()),
        _ => Err(format!("{text:?} has several sizes; a sender has one, or imix")),
    }
}

/// One frame size and no mix.
pub(super) fn fixed_size(text: &str) -> Result<SizeSpec, String> {
    let size = one_size(text)?;
    match size.sizes {
        Sizes::Fixed(_) => Ok(size),
        Sizes::Cycle(_) => Err(format!("{text:?} is a mix; probes have one size, as in 64")),
    }
}

/// pkt-gen's `-l`, a length without FCS.
pub(super) fn slot_length(text: &str) -> Result<SizeSpec, String> {
    parse_slot_length(text).map_err(|error| error.to_string())
}

/// pkt-gen's `-n`, where 0 is no limit.
pub(super) fn count(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is not a number of frames; 0 is no limit"))
}

/// A rate of probes, which have no size to count bits by.
pub(super) fn probe_rate(text: &str) -> Result<f64, String> {
    match parse_rate(text).map_err(|error| error.to_string())? {
        Rate::Pps(rate) => Ok(rate),
        _ => Err(format!("{text:?} is not a number of probes a second, as in 1000 or 10k")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let one = Endpoint { ip: Ipv4Addr::new(10, 0, 0, 1), port: 1234 };
        assert_eq!(endpoint("10.0.0.1"), Ok(one));
        assert_eq!(endpoint("10.0.0.1:53"), Ok(Endpoint { port: 53, ..one }));
        assert!(endpoint("10.0.0.1-10.0.0.9").unwrap_err().contains("--flows"));
        assert!(endpoint("10.0.0").unwrap_err().contains("not an IPv4 address"));
        assert!(endpoint("10.0.0.1:70000").unwrap_err().contains("not a UDP port"));
        assert_eq!(mac("ff:FF:0:1:a:0b"), Ok([255, 255, 0, 1, 10, 11]));
        for wrong in ["", "1:2:3:4:5", "1:2:3:4:5:6:7", "1:2:3:4:5:100", "1:2:3:4:5:+6", "1-2-3-4-5-6"] {
            assert!(mac(wrong).unwrap_err().contains("not an Ethernet address"), "{wrong}");
        }
        assert!(source_mac("01:00:5e:00:00:01").unwrap_err().contains("group"));
    }

    #[test]
    fn names_and_numbers() {
        assert_eq!(guests("2"), Ok(2));
        assert!(guests("0").unwrap_err().contains("needs guests"));
        assert!(guests("3").unwrap_err().contains("even"));
        assert!(guests("256").unwrap_err().contains("at most 254"));
        assert!(guests("-2").unwrap_err().contains("not a number"));
        assert_eq!(switch_name("vale0"), Ok("vale0".into()));
        for wrong in ["v0", "vale0:1", "vale 0", "vale_with_long_name"] {
            assert!(switch_name(wrong).is_err(), "{wrong}");
        }
        assert!(one_size("64,128").unwrap_err().contains("several"));
        assert_eq!(one_size("imix").unwrap().label, "imix");
        assert!(fixed_size("imix").unwrap_err().contains("one size"));
        assert_eq!(probe_rate("10k"), Ok(10_000.0));
        assert!(probe_rate("10Gbps").is_err() && probe_rate("max").is_err());
        assert!(port(" ").is_err());
    }
}
