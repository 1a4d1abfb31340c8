//! Parsers of single arguments that are of no use elsewhere. Their errors complete clap's sentences.

use std::net::Ipv4Addr;

use super::traffic::RewriteMac;
use crate::compare::published as published_figures;
use crate::dataplane::registry;
use crate::units::{SizeSpec, parse_cpus, parse_rate, parse_sizes, parse_slot_length};
use pktgen::pace::MAX_BURST_FRAMES;
use pktgen::random::ZIPF_EXPONENTS;
use pktgen::spec::{Arrivals, FlowOrder, Rate, Sizes};

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

/// Addresses and ports from one to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointRange {
    /// The first.
    pub first: Endpoint,
    /// The last: neither address nor port is below the first's.
    pub last: Endpoint,
}

impl std::fmt::Display for EndpointRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let EndpointRange { first, last } = self;
        write!(f, "{}:{}", first.ip, first.port)?;
        if first == last { Ok(()) } else { write!(f, "-{}:{}", last.ip, last.port) }
    }
}

/// Percentages of a throughput, rising.
#[derive(Debug, Clone, PartialEq)]
pub struct Percentages(pub Vec<f64>);

/// Ethernet addresses from one to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MacRange {
    /// The first.
    pub first: [u8; 6],
    /// The last, not below it.
    pub last: [u8; 6],
}

/// `10.0.0.1`, `10.0.0.1:1000` or `10.0.0.1:1000-10.0.0.9:1999`.
pub(super) fn endpoints(text: &str) -> Result<EndpointRange, String> {
    let (first, last) = text.split_once('-').map_or((text, None), |(first, last)| (first, Some(last)));
    let first = endpoint(first, DEFAULT_UDP_PORT)?;
    let last = last.map_or(Ok(first), |last| endpoint(last, first.port))?;
    if last.ip < first.ip || last.port < first.port {
        return Err(format!("the range {text:?} runs backwards"));
    }
    Ok(EndpointRange { first, last })
}

/// `10.0.0.1` or `10.0.0.1:1234`.
fn endpoint(text: &str, default: u16) -> Result<Endpoint, String> {
    let (ip, port) = match text.split_once(':') {
        Some((ip, port)) => (ip, Some(port)),
        None => (text, None),
    };
    let ip = ip.parse().map_err(|_| format!("{ip:?} is not an IPv4 address, as in 10.0.0.1:1234"))?;
    let port = match port {
        None => default,
        Some(port) => port.parse().map_err(|_| format!("{port:?} is not a UDP port (0 to 65535)"))?,
    };
    Ok(Endpoint { ip, port })
}

/// A user as ssh takes it, which is no option.
pub(super) fn ssh_user(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-@\\".contains(c);
    match !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        true => Ok(text.to_owned()),
        false => Err(format!("{text:?} is no user's name")),
    }
}

/// One Ethernet address, or a range `MAC-MAC`.
pub(super) fn macs(text: &str) -> Result<MacRange, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = MacRange { first: mac(first)?, last: mac(last)? };
    if range.last < range.first {
        return Err(format!("the range {text:?} runs backwards"));
    }
    Ok(range)
}

/// The addresses frames come from: none that is a group's, or a switch would learn nothing from it.
pub(super) fn source_macs(text: &str) -> Result<MacRange, String> {
    let range = macs(text)?;
    if range.first[0] & 1 == 1 || range.first[0] != range.last[0] {
        return Err(format!("{text} is or holds a group's address; a sender needs one of its own"));
    }
    Ok(range)
}

/// `aa:bb:cc:dd:ee:00`.
fn mac(text: &str) -> Result<[u8; 6], String> {
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

/// Processors of threads, in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpus(pub Vec<u32>);

impl Cpus {
    /// The processor of thread `i` of a process that may use `usable`: of the list, in turn; of a single one, that
    /// one and those after it.
    pub fn of(&self, i: usize, usable: &[u32]) -> u32 {
        match self.0.as_slice() {
            [first] => {
                let at = usable.iter().position(|cpu| cpu == first).unwrap_or(0);
                usable.get((at + i) % usable.len().max(1)).copied().unwrap_or(*first)
            }
            list => list[i % list.len()],
        }
    }
}

/// `2` or `2,4-6`.
pub(super) fn cpus(text: &str) -> Result<Cpus, String> {
    parse_cpus(text).map(Cpus).map_err(|error| error.to_string())
}

/// `constant`, `poisson` or `burst:N`.
pub(super) fn arrivals(text: &str) -> Result<Arrivals, String> {
    let burst = |frames: &str| match frames.parse() {
        Ok(frames) if (1..=MAX_BURST_FRAMES).contains(&frames) => Ok(Arrivals::Bursts { frames }),
        _ => Err(format!("{frames:?} is not a number of frames (1 to {MAX_BURST_FRAMES}), as in burst:32")),
    };
    match text.split_once(':') {
        None if text == "constant" || text == "cbr" => Ok(Arrivals::Constant),
        None if text == "poisson" => Ok(Arrivals::Poisson),
        Some(("burst", frames)) => burst(frames),
        _ => Err(format!("{text:?} is not one of constant, poisson, burst:N")),
    }
}

/// `round-robin`, `random`, `zipf` or `zipf:1.2`.
pub(super) fn flow_order(text: &str) -> Result<FlowOrder, String> {
    let zipf = |exponent: &str| match exponent.parse() {
        Ok(exponent) if ZIPF_EXPONENTS.contains(&exponent) => Ok(FlowOrder::Zipf { exponent }),
        _ => Err(format!(
            "{exponent:?} is not an exponent of Zipf's law ({} to {}), as in zipf:1.2",
            ZIPF_EXPONENTS.start(),
            ZIPF_EXPONENTS.end()
        )),
    };
    match text.split_once(':') {
        None if text == "round-robin" => Ok(FlowOrder::RoundRobin),
        None if text == "random" => Ok(FlowOrder::Random),
        None if text == "zipf" => Ok(FlowOrder::Zipf { exponent: 1.0 }),
        Some(("zipf", exponent)) => zipf(exponent),
        _ => Err(format!("{text:?} is not one of round-robin, random, zipf, zipf:EXPONENT")),
    }
}

/// How many times as fast as captured.
pub(super) fn speed(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('x').unwrap_or(text).parse::<f64>();
    number.ok().filter(|speed| (0.001..=1000.0).contains(speed)).ok_or_else(|| {
        format!("{text:?} is not a factor (0.001 to 1000): 1 is as captured, 2 is twice as fast")
    })
}

/// Percentages of a throughput, each once: `10,50,99`.
pub(super) fn percentages(text: &str) -> Result<Percentages, String> {
    let one = |item: &str| {
        let number = item.trim().trim_end_matches('%').parse::<f64>();
        number.ok().filter(|percent| (0.1..=100.0).contains(percent)).ok_or_else(|| {
            format!("{item:?} is not a percentage of the throughput (0.1 to 100), as in 10,50,99")
        })
    };
    let mut list = text.split(',').map(one).collect::<Result<Vec<f64>, _>>()?;
    list.sort_by(f64::total_cmp);
    match list.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("{} % is in {text:?} twice", pair[0])),
        None => Ok(Percentages(list)),
    }
}

/// A length that a virtio-net header has, or 0 for none.
pub(super) fn vnet_header(text: &str) -> Result<u16, String> {
    match text {
        "0" => Ok(0),
        "10" => Ok(10),
        "12" => Ok(12),
        _ => Err(format!("{text:?} is not the length of a virtio-net header: 10 or 12, or 0 for none")),
    }
}

/// An even number of guests that one switch can hold.
pub(super) fn guests(text: &str) -> Result<u32, String> {
    /// Ports of a VALE switch.
    const GUESTS_MAX: u32 = 254;
    match text.parse::<u32>() {
        Err(_) => Err(format!("{text:?} is not a number of guests")),
        Ok(0 | 1) => Err("v2v needs guests: two at least".into()),
        Ok(many) if many > GUESTS_MAX => Err(format!("a switch has at most {GUESTS_MAX} ports")),
        Ok(guests) => Ok(guests),
    }
}

/// The name of a dataplane of this program.
pub(super) fn dataplane(text: &str) -> Result<String, String> {
    registry::find(text).map(|_| text.to_owned())
}

/// How sure to be.
pub(super) fn confidence(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(confidence) if (0.5..=0.999).contains(&confidence) => Ok(confidence),
        _ => Err(format!("{text:?} is not a confidence; write 0.5 to 0.999, as in 0.95")),
    }
}

/// A part of something, or a multiple.
pub(super) fn ratio(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ratio) if ratio > 0.0 && ratio <= 100.0 => Ok(ratio),
        _ => Err(format!("{text:?} is not a ratio; write a number above 0, as in 0.95")),
    }
}

/// The name of published figures that this program has.
pub(super) fn published(text: &str) -> Result<String, String> {
    published_figures::find(text).map(|published| published.name.clone())
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

/// What `fwd` writes into Ethernet addresses: `swap`, or two destinations.
pub(super) fn rewrite(text: &str) -> Result<RewriteMac, String> {
    if text == "swap" {
        return Ok(RewriteMac::Swap);
    }
    let Some((first, second)) = text.split_once(',') else {
        return Err("name two destinations, DST1,DST2: of what leaves on either port; or swap".into());
    };
    Ok(RewriteMac::To([mac(first)?, mac(second)?]))
}

/// A port's name, whose grammar is for whoever opens it.
pub(super) fn port(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("an empty name is no port; name one, as in vale0:1".into()),
        name => Ok(name.to_owned()),
    }
}

/// A frame size, several to take in turn, or a range to take from at random.
pub(super) fn sizes_to_send(text: &str) -> Result<SizeSpec, String> {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((min, max)) = text.split_once('-').filter(|(min, max)| number(min) && number(max)) {
        let bytes = |text: &str| Ok::<_, String>(fixed_size(text)?.max());
        return random(text, bytes(min)?, bytes(max)?);
    }
    let list = parse_sizes(text).map_err(|error| error.to_string())?;
    if let [one] = list.as_slice() {
        return Ok(one.clone());
    }
    let sizes = list.iter().flat_map(|size| match &size.sizes {
        Sizes::Fixed(size) => vec![*size],
        Sizes::Cycle(sizes) => sizes.clone(),
        Sizes::Random { min, max } => vec![*min, *max],
    });
    Ok(SizeSpec { label: text.to_owned(), sizes: Sizes::Cycle(sizes.collect()) })
}

/// pkt-gen's `-l`, a length without FCS, or a range to take from at random.
pub(super) fn slot_lengths(text: &str) -> Result<SizeSpec, String> {
    match text.split_once('-').filter(|(min, _)| !min.is_empty()) {
        Some((min, max)) => random(text, slot_length(min)?.max(), slot_length(max)?.max()),
        None => slot_length(text),
    }
}

fn random(text: &str, min: u16, max: u16) -> Result<SizeSpec, String> {
    if min > max {
        return Err(format!("the range {text:?} runs backwards"));
    }
    Ok(SizeSpec { label: text.to_owned(), sizes: Sizes::Random { min, max } })
}

/// One frame size or mix.
fn one_size(text: &str) -> Result<SizeSpec, String> {
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
        Sizes::Cycle(_) | Sizes::Random { .. } => {
            Err(format!("{text:?} is a mix; probes have one size, as in 64"))
        }
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
        let range = |first, last| Ok(EndpointRange { first, last });
        assert_eq!(endpoints("10.0.0.1"), range(one, one));
        let dns = Endpoint { port: 53, ..one };
        assert_eq!(endpoints("10.0.0.1:53"), range(dns, dns));
        let nine = Endpoint { ip: Ipv4Addr::new(10, 0, 0, 9), port: 53 };
        assert_eq!(endpoints("10.0.0.1:53-10.0.0.9"), range(dns, nine));
        assert_eq!(endpoints("10.0.0.1:53-10.0.0.9:60"), range(dns, Endpoint { port: 60, ..nine }));
        assert!(endpoints("10.0.0.9-10.0.0.1").unwrap_err().contains("backwards"));
        assert!(endpoints("10.0.0.1:9-10.0.0.1:8").unwrap_err().contains("backwards"));
        assert!(endpoints("10.0.0").unwrap_err().contains("not an IPv4 address"));
        assert!(endpoints("10.0.0.1-").unwrap_err().contains("not an IPv4 address"));
        assert!(endpoints("10.0.0.1:70000").unwrap_err().contains("not a UDP port"));
        assert_eq!(mac("ff:FF:0:1:a:0b"), Ok([255, 255, 0, 1, 10, 11]));
        let macs_of = |last| Ok(MacRange { first: [2, 0, 0, 0, 0, 1], last });
        assert_eq!(macs("2:0:0:0:0:1-2:0:0:0:1:0"), macs_of([2, 0, 0, 0, 1, 0]));
        assert_eq!(source_macs("2:0:0:0:0:1"), macs_of([2, 0, 0, 0, 0, 1]));
        assert!(macs("2:0:0:0:0:1-2:0:0:0:0:0").unwrap_err().contains("backwards"));
        assert!(source_macs("2:0:0:0:0:1-4:0:0:0:0:0").unwrap_err().contains("group"));
        for wrong in ["", "1:2:3:4:5", "1:2:3:4:5:6:7", "1:2:3:4:5:100", "1:2:3:4:5:+6", "1-2-3-4-5-6"] {
            assert!(mac(wrong).unwrap_err().contains("not an Ethernet address"), "{wrong}");
        }
        assert!(source_macs("01:00:5e:00:00:01").unwrap_err().contains("group"));
    }

    #[test]
    fn names_and_numbers() {
        assert_eq!(guests("2"), Ok(2));
        assert!(guests("0").unwrap_err().contains("needs guests"));
        assert!(guests("1").unwrap_err().contains("two at least"));
        assert_eq!(guests("3"), Ok(3));
        assert!(guests("256").unwrap_err().contains("at most 254"));
        assert!(guests("-2").unwrap_err().contains("not a number"));
        assert_eq!(switch_name("vale0"), Ok("vale0".into()));
        for wrong in ["v0", "vale0:1", "vale 0", "vale_with_long_name"] {
            assert!(switch_name(wrong).is_err(), "{wrong}");
        }
        assert_eq!(sizes_to_send("64,128").unwrap().sizes, Sizes::Cycle(vec![64, 128]));
        assert_eq!(sizes_to_send("64-128").unwrap().sizes, Sizes::Random { min: 64, max: 128 });
        assert_eq!(slot_lengths("60-124").unwrap().sizes, Sizes::Random { min: 64, max: 128 });
        assert_eq!(slot_lengths("60").unwrap().sizes, Sizes::Fixed(64));
        for wrong in ["128-64", "64-", "-64", "0-64", "64-128-256"] {
            assert!(sizes_to_send(wrong).is_err(), "{wrong}");
            assert!(slot_lengths(wrong).is_err(), "{wrong}");
        }
        assert_eq!(sizes_to_send("64:7,570:4").unwrap().sizes, sizes_to_send("64:14,570:8").unwrap().sizes);
        assert_eq!(arrivals("burst:32"), Ok(Arrivals::Bursts { frames: 32 }));
        assert_eq!((arrivals("cbr"), arrivals("poisson")), (Ok(Arrivals::Constant), Ok(Arrivals::Poisson)));
        for wrong in ["burst", "burst:0", "burst:x", "poisson:3", "uniform", ""] {
            assert!(arrivals(wrong).is_err(), "{wrong}");
        }
        assert_eq!(flow_order("zipf:0.8"), Ok(FlowOrder::Zipf { exponent: 0.8 }));
        assert_eq!(flow_order("zipf"), Ok(FlowOrder::Zipf { exponent: 1.0 }));
        for wrong in ["zipf:", "zipf:0", "zipf:nan", "zipf:-1", "random:1", "any"] {
            assert!(flow_order(wrong).is_err(), "{wrong}");
        }
        assert_eq!((speed("2"), speed("0.5x")), (Ok(2.0), Ok(0.5)));
        assert!(speed("0").is_err() && speed("inf").is_err() && speed("fast").is_err());
        assert_eq!(percentages("99,10,50").unwrap().0, [10.0, 50.0, 99.0]);
        assert_eq!(percentages("12.5%").unwrap().0, [12.5]);
        for wrong in ["", "0", "101", "10,10", "half", "10,"] {
            assert!(percentages(wrong).is_err(), "{wrong}");
        }
        let usable = [0, 1, 4, 5];
        let of = |text| (0..4).map(|i| cpus(text).unwrap().of(i, &usable)).collect::<Vec<_>>();
        assert_eq!((of("1"), of("5,0")), (vec![1, 4, 5, 0], vec![5, 0, 5, 0]));
        assert_eq!((vnet_header("12"), vnet_header("0")), (Ok(12), Ok(0)));
        assert!(vnet_header("11").unwrap_err().contains("10 or 12"));
        assert!(one_size("64,128").unwrap_err().contains("several"));
        assert_eq!(one_size("imix").unwrap().label, "imix");
        assert!(fixed_size("imix").unwrap_err().contains("one size"));
        assert_eq!(probe_rate("10k"), Ok(10_000.0));
        assert!(probe_rate("10Gbps").is_err() && probe_rate("max").is_err());
        assert!(port(" ").is_err());
    }
}
