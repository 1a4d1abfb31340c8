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
        crate::result::FrameSize { label: self.label.clone(), sizes_bytes }
    }
}

/// Sizes to make trials of, in the order given, each once.
pub type SizeList = Vec<SizeSpec>;

/// Parses `64,512,1518`, `64-256/64` (64, 128, 192, 256) and `imix`, in any combination.
///
/// Sizes are 64 to 65535 here; what the port takes is for [`check_frame_size`].
pub fn parse_sizes(text: &str) -> Result<SizeList, UnitError> {
    let mut list = SizeList::new();
    for item in text.split(',').map(str::trim) {
        for size in parse_item(item, text)? {
            if list.iter().any(|known| known.label == size.label) {
                return Err(UnitError::new(format!("size {} is in {text:?} twice", size.label)));
            }
            list.push(size);
        }
        if list.len() > SIZES_MAX {
            return Err(UnitError::new(format!("{text:?} has more than {SIZES_MAX} sizes")));
        }
    }
    Ok(list)
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
    let Some((to, step)) = rest.split_once('/') else {
        return Err(UnitError::new(format!(
            "the range {item:?} has no step; write FROM-TO/STEP, as in 64-512/64"
        )));
    };
    let to = number(to)?;
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
             {FRAME_MAX_BYTES}), a range FROM-TO/STEP, or imix"
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
    fn wrong_sizes_get_sentences() {
        assert!(sentence("63").contains("too small"));
        assert!(sentence("70000").contains("too large"));
        assert!(sentence("64,,65").contains("empty size"));
        assert!(sentence("").contains("empty size"));
        assert!(sentence("64-512").contains("has no step"));
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
        fn any_text_is_answered(text in "[-0-9,/imx ]{0,24}") {
            if let Ok(list) = parse_sizes(&text) {
                prop_assert!(!list.is_empty() && list.len() <= SIZES_MAX);
                prop_assert!(list.iter().all(|size| size.max() >= FRAME_MIN_BYTES));
            }
        }
    }
}
