//! Frame sizes, in bytes on the wire including the 4-byte FCS.

use pktgen::spec::Sizes;

use super::UnitError;
use crate::result::FCS_BYTES;

/// The smallest Ethernet frame.
pub const FRAME_MIN_BYTES: u16 = 64;

/// The largest Ethernet frame without a VLAN tag or jumbo frames.
pub const FRAME_MAX_BYTES: u16 = 1518;

/// The usual mix, 28×64, 16×570 and 4×1518 bytes, as the ratio 7:4:1 spread evenly over twelve frames.
pub const IMIX: [u16; 12] = [64, 570, 64, 64, 570, 64, 1518, 64, 570, 64, 64, 570];

/// Most frames of a mix's round, once its weights have no common divisor.
const ROUND_MAX: u64 = 4096;

/// Most sizes in one list; each is a trial of its own, times repetitions and dataplanes.
const SIZES_MAX: usize = 256;

/// One size, or one mix of sizes, to make a trial of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SizeSpec {
    /// How it was asked for: `64` or `imix`.
    pub label: String,
    /// The sizes to send.
    pub sizes: Sizes,
}

impl SizeSpec {
    /// One fixed size.
    pub fn fixed(size: u16) -> SizeSpec {
        SizeSpec { label: size.to_string(), sizes: Sizes::Fixed(size) }
    }

    /// The largest frame in it.
    pub fn max(&self) -> u16 {
        match &self.sizes {
            Sizes::Fixed(size) => *size,
            Sizes::Cycle(sizes) => sizes.iter().copied().max().unwrap_or(0),
            Sizes::Random { max, .. } => *max,
        }
    }

    /// The smallest frame in it.
    pub fn min(&self) -> u16 {
        match &self.sizes {
            Sizes::Fixed(size) => *size,
            Sizes::Cycle(sizes) => sizes.iter().copied().min().unwrap_or(0),
            Sizes::Random { min, .. } => *min,
        }
    }

    /// The sizes as the result document keeps them.
    pub fn frame_size(&self) -> crate::result::FrameSize {
        let sizes_bytes = match &self.sizes {
            Sizes::Fixed(size) => vec![*size],
            Sizes::Cycle(sizes) => sizes.clone(),
            Sizes::Random { min, max } => vec![*min, *max],
        };
        let at_random = matches!(self.sizes, Sizes::Random { .. });
        crate::result::FrameSize { label: self.label.clone(), sizes_bytes, at_random }
    }
}

/// Sizes to make trials of, in the order given, each once.
pub type SizeList = Vec<SizeSpec>;

/// Parses `64,512,1518`, `64-256/64` (64, 128, 192, 256), `64-1518` (any of them at random), `imix`, and mixes of sizes
/// with their weights (`64:7,570:4,1518:1`), in any combination. Sizes with weights that stand together are one mix.
///
/// Sizes are 64 to 65535 here; what the port takes is for [`check_frame_size`].
pub fn parse_sizes(text: &str) -> Result<SizeList, UnitError> {
    let mut list = SizeList::new();
    let mut add = |size: SizeSpec| {
        if list.iter().any(|known: &SizeSpec| known.label == size.label) {
            return Err(UnitError::new(format!("size {} is in {text:?} twice", size.label)));
        }
        list.push(size);
        if list.len() > SIZES_MAX {
            return Err(UnitError::new(format!("{text:?} has more than {SIZES_MAX} sizes")));
        }
        Ok(())
    };
    let mut mix: Vec<&str> = Vec::new();
    for item in text.split(',').map(str::trim) {
        if item.contains(':') {
            mix.push(item);
            continue;
        }
        if !mix.is_empty() {
            add(parse_mix(&std::mem::take(&mut mix))?)?;
        }
        parse_item(item, text)?.into_iter().try_for_each(&mut add)?;
    }
    if !mix.is_empty() {
        add(parse_mix(&mix)?)?;
    }
    Ok(list)
}

/// Parses `64:7`, `570:4` and so on into one mix, each size spread evenly over the round.
fn parse_mix(items: &[&str]) -> Result<SizeSpec, UnitError> {
    let label = items.join(",");
    let mut parts = Vec::new();
    for item in items {
        let (size, weight) = item.split_once(':').expect("whoever calls has looked for the colon");
        let size = number(size)?;
        let weight = match weight.parse::<u32>() {
            Ok(weight) if weight > 0 => u64::from(weight),
            _ => {
                let sentence = format!(
                    "the weight {weight:?} of {item:?} is not a positive number, as in 64:7,570:4,1518:1"
                );
                return Err(UnitError::new(sentence));
            }
        };
        if parts.iter().any(|&(known, _)| known == size) {
            return Err(UnitError::new(format!("size {size} is in the mix {label} twice")));
        }
        parts.push((size, weight));
    }
    let divisor = parts.iter().fold(0, |divisor, &(_, weight)| gcd(divisor, weight));
    let whole = parts.iter().map(|(_, weight)| weight / divisor).sum::<u64>();
    if whole > ROUND_MAX {
        return Err(UnitError::new(format!(
            "the weights of {label} make a round of {whole} frames; {ROUND_MAX} are possible, so use smaller ones"
        )));
    }
    // Whoever is furthest behind its share comes next.
    let mut behind = vec![0i64; parts.len()];
    let mut round = Vec::new();
    for _ in 0..whole {
        behind.iter_mut().zip(&parts).for_each(|(behind, (_, weight))| *behind += (weight / divisor) as i64);
        let next =
            (0..parts.len()).max_by_key(|&i| (behind[i], std::cmp::Reverse(i))).expect("a mix has sizes");
        behind[next] -= whole as i64;
        round.push(parts[next].0);
    }
    Ok(SizeSpec { label, sizes: Sizes::Cycle(round) })
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn parse_item(item: &str, whole: &str) -> Result<SizeList, UnitError> {
    if item.is_empty() {
        return Err(UnitError::new(format!(
            "{whole:?} has an empty size; write sizes with a comma between them, as in 64,512,1518"
        )));
    }
    if item.eq_ignore_ascii_case("imix") {
        return Ok(vec![SizeSpec { label: "imix".into(), sizes: Sizes::Cycle(IMIX.to_vec()) }]);
    }
    let Some((from, rest)) = item.split_once('-') else { return Ok(vec![SizeSpec::fixed(number(item)?)]) };
    let from = number(from)?;
    let (to, step) = rest.split_once('/').map_or((rest, None), |(to, step)| (to, Some(step)));
    let to = number(to)?;
    let Some(step) = step else {
        if from > to {
            return Err(UnitError::new(format!("the range {item:?} runs backwards: {from} is above {to}")));
        }
        let sizes = if from == to { Sizes::Fixed(from) } else { Sizes::Random { min: from, max: to } };
        return Ok(vec![SizeSpec { label: item.to_owned(), sizes }]);
    };
    let step = match step.parse::<u16>() {
        Ok(step) if step > 0 => step,
        _ => return Err(UnitError::new(format!("the step {step:?} of {item:?} is not a positive number"))),
    };
    if from > to {
        return Err(UnitError::new(format!("the range {item:?} runs backwards: {from} is above {to}")));
    }
    // One more than the limit is enough for the caller to refuse it.
    Ok((from..=to).step_by(step.into()).take(SIZES_MAX + 1).map(SizeSpec::fixed).collect())
}

fn number(text: &str) -> Result<u16, UnitError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(UnitError::new(format!(
            "{text:?} is not a frame size; write bytes including the FCS ({FRAME_MIN_BYTES} to \
             {FRAME_MAX_BYTES}), a range FROM-TO/STEP or FROM-TO, imix, or a mix 64:7,570:4,1518:1"
        )));
    }
    match text.parse::<u16>() {
        Ok(size) if size >= FRAME_MIN_BYTES => Ok(size),
        Ok(size) => Err(UnitError::new(format!(
            "size {size} is too small: an Ethernet frame has at least {FRAME_MIN_BYTES} bytes including FCS"
        ))),
        Err(_) => Err(UnitError::new(format!("size {text} is too large: no port takes such a frame"))),
    }
}

/// Checks that every frame of `sizes` fits a port whose buffers hold `max_frame` bytes without FCS.
///
/// With `None` the port is not known yet and [`FRAME_MAX_BYTES`] is the limit.
pub fn check_frame_size(sizes: &[SizeSpec], max_frame: Option<u16>) -> Result<(), UnitError> {
    let limit = max_frame.map_or(FRAME_MAX_BYTES, |max| max.saturating_add(FCS_BYTES));
    match sizes.iter().find(|size| size.max() > limit) {
        None => Ok(()),
        Some(size) => Err(UnitError::new(format!(
            "size {} is too large: the limit is {limit} bytes including FCS{}",
            size.max(),
            if max_frame.is_some() { ", which is what the port's buffers hold" } else { "" }
        ))),
    }
}

/// Parses a length as pkt-gen's `-l` means it, without FCS, into a size: `60` is a 64-byte frame.
pub fn parse_slot_length(text: &str) -> Result<SizeSpec, UnitError> {
    let least = FRAME_MIN_BYTES - FCS_BYTES;
    match text.parse::<u16>() {
        Ok(length) if length >= least && length <= u16::MAX - FCS_BYTES => {
            Ok(SizeSpec::fixed(length + FCS_BYTES))
        }
        Ok(length) if length < least => Err(UnitError::new(format!(
            "length {length} is too small: a frame has at least {least} bytes without FCS"
        ))),
        _ => Err(UnitError::new(format!(
            "{text:?} is not a length; write bytes without FCS ({least} to {})",
            FRAME_MAX_BYTES - FCS_BYTES
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(text: &str) -> Vec<String> {
        parse_sizes(text).unwrap().into_iter().map(|size| size.label).collect()
    }

    fn sentence(text: &str) -> String {
        parse_sizes(text).unwrap_err().to_string()
    }

    #[test]
    fn lists_ranges_and_mixes() {
        assert_eq!(labels("64"), ["64"]);
        assert_eq!(labels("64, 512,1518"), ["64", "512", "1518"]);
        assert_eq!(labels("64-256/64,IMIX"), ["64", "128", "192", "256", "imix"]);
        assert_eq!(labels("64-100/50"), ["64"]);
        assert_eq!(labels("9018"), ["9018"]);
    }

    #[test]
    fn imix_is_seven_to_four_to_one() {
        let count = |size| IMIX.iter().filter(|&&s| s == size).count();
        assert_eq!((count(64), count(570), count(1518)), (7, 4, 1));
        assert!(IMIX.windows(3).all(|w| w != [64, 64, 64]));
    }

    #[test]
    fn mixes_are_by_weight_and_spread() {
        let cycle = |text: &str| match parse_sizes(text).unwrap().remove(0).sizes {
            Sizes::Cycle(sizes) => sizes,
            other => panic!("{other:?}"),
        };
        let mix = cycle("64:7,570:4,1518:1");
        let count = |size| mix.iter().filter(|&&s| s == size).count();
        assert_eq!((mix.len(), count(64), count(570), count(1518)), (12, 7, 4, 1));
        assert!(mix.windows(3).all(|w| w != [64, 64, 64]), "{mix:?}");
        assert_eq!(cycle("64:2800,570:1600,1518:400"), mix, "weights are shares");
        assert_eq!(
            labels("100,64:7,570:4,200,64:1,65:1,imix"),
            ["100", "64:7,570:4", "200", "64:1,65:1", "imix"]
        );
        assert_eq!(cycle("64:5"), [64]);
        let random = parse_sizes("64-1518").unwrap().remove(0);
        assert_eq!((random.min(), random.max(), random.label.as_str()), (64, 1518, "64-1518"));
        assert!(random.frame_size().at_random && (random.frame_size().mean_bytes() - 791.0).abs() < 1e-9);
    }

    #[test]
    fn wrong_sizes_get_sentences() {
        assert!(sentence("63").contains("too small"));
        assert!(sentence("70000").contains("too large"));
        assert!(sentence("64,,65").contains("empty size"));
        assert!(sentence("").contains("empty size"));
        assert!(sentence("512-64").contains("backwards"));
        assert!(sentence("64-").contains("not a frame size"));
        assert!(sentence("64:0").contains("weight"));
        assert!(sentence("64:7,570:x").contains("weight"));
        assert!(sentence("64:").contains("weight"));
        assert!(sentence(":7").contains("not a frame size"));
        assert!(sentence("64:1,64:2").contains("twice"));
        assert!(sentence("imix,imix").contains("twice"));
        assert!(sentence("64:4096,65:1").contains("4097 frames"));
        assert!(sentence("512-64/64").contains("backwards"));
        assert!(sentence("64-512/0").contains("not a positive number"));
        assert!(sentence("64,64").contains("twice"));
        assert!(sentence("-64").contains("not a frame size"));
        assert!(sentence("64B").contains("not a frame size"));
        assert!(sentence("64-1518/1").contains("more than 256"));
    }

    #[test]
    fn limits_are_the_standard_or_the_port() {
        let jumbo = parse_sizes("64,9018").unwrap();
        let error = check_frame_size(&jumbo, None).unwrap_err().to_string();
        assert_eq!(error, "size 9018 is too large: the limit is 1518 bytes including FCS");
        assert!(check_frame_size(&jumbo, Some(9014)).is_ok());
        assert!(check_frame_size(&jumbo, Some(9013)).unwrap_err().to_string().contains("9017"));
        assert!(check_frame_size(&parse_sizes("1518,imix").unwrap(), None).is_ok());
    }

    #[test]
    fn slot_lengths_leave_the_fcs_out() {
        assert_eq!(parse_slot_length("60").unwrap(), SizeSpec::fixed(64));
        assert_eq!(parse_slot_length("1514").unwrap(), SizeSpec::fixed(1518));
        assert!(parse_slot_length("59").unwrap_err().to_string().contains("too small"));
        assert!(parse_slot_length("65532").unwrap_err().to_string().contains("not a length"));
        assert!(parse_slot_length("x").unwrap_err().to_string().contains("not a length"));
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "[-0-9,:/imx ]{0,24}") {
            if let Ok(list) = parse_sizes(&text) {
                prop_assert!(!list.is_empty() && list.len() <= SIZES_MAX);
                prop_assert!(list.iter().all(|size| size.max() >= FRAME_MIN_BYTES));
            }
        }
    }
}
