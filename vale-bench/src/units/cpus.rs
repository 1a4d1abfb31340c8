//! Lists of processors, as the kernel writes them: `0-3,6`.

use super::UnitError;

/// The most processors Linux can be built for.
const CPUS_MAX: u32 = 8192;

/// Processors in the order given, each once.
pub type CpuList = Vec<u32>;

/// Parses `0-3,6` into 0, 1, 2, 3, 6. The order is kept: roles take processors in turn.
pub fn parse_cpus(text: &str) -> Result<CpuList, UnitError> {
    let mut cpus = CpuList::new();
    for item in text.split(',').map(str::trim) {
        let (from, to) = match item.split_once('-') {
            Some((from, to)) => (number(from, text)?, number(to, text)?),
            None => (number(item, text)?, number(item, text)?),
        };
        if from > to {
            return Err(UnitError::new(format!("the range {item:?} runs backwards: {from} is above {to}")));
        }
        for cpu in from..=to {
            if cpus.contains(&cpu) {
                return Err(UnitError::new(format!("processor {cpu} is in {text:?} twice")));
            }
            cpus.push(cpu);
        }
    }
    Ok(cpus)
}

fn number(text: &str, whole: &str) -> Result<u32, UnitError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(UnitError::new(format!(
            "{whole:?} is not a list of processors; write numbers and ranges, as in 0-3,6"
        )));
    }
    match text.parse() {
        Ok(cpu) if cpu < CPUS_MAX => Ok(cpu),
        _ => Err(UnitError::new(format!("processor {text} is beyond what Linux can have ({CPUS_MAX})"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ranges_in_order() {
        assert_eq!(parse_cpus("0-3,6"), Ok(vec![0, 1, 2, 3, 6]));
        assert_eq!(parse_cpus("6, 0-1"), Ok(vec![6, 0, 1]));
        assert_eq!(parse_cpus("8191"), Ok(vec![8191]));
    }

    #[test]
    fn what_is_not_a_list() {
        for text in ["", "a", "1,", "1--2", "-1", "1-", "0x1", "1;2"] {
            assert!(parse_cpus(text).unwrap_err().to_string().contains("not a list of processors"), "{text}");
        }
        assert!(parse_cpus("3-1").unwrap_err().to_string().contains("backwards"));
        assert!(parse_cpus("0-2,1").unwrap_err().to_string().contains("twice"));
        assert!(parse_cpus("8192").unwrap_err().to_string().contains("beyond"));
        assert!(parse_cpus("0-4294967295").unwrap_err().to_string().contains("beyond"));
    }
}
