//! Axes: which values they span, where their ticks are, and where a value lies on the paper.

/// How values lie along an axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::report) enum Scale {
    /// From zero to a round number.
    Linear,
    /// From zero to the last value.
    Tight,
    /// By powers of ten, between round numbers.
    Log,
    /// Quantiles of 0 to 1, each further nine as far again: 0, 90, 99, 99.9 %.
    Nines,
    /// Names side by side; values are their indices.
    Names(Vec<String>),
}

/// One axis of a plot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::report) struct Axis {
    /// What it measures, and its unit.
    pub(in crate::report) title: String,
    /// How values lie along it.
    pub(in crate::report) scale: Scale,
}

impl Axis {
    /// An axis with a title.
    pub(in crate::report) fn new(title: impl Into<String>, scale: Scale) -> Axis {
        Axis { title: title.into(), scale }
    }
}

/// The sizes a plot tells apart: what is nearer to zero, or larger, is drawn as these.
const DRAWN: (f64, f64) = (1e-12, 1e15);

/// An axis laid out for some values.
#[derive(Debug)]
pub(super) struct Placed<'a> {
    scale: &'a Scale,
    low: f64,
    high: f64,
    from_px: f64,
    to_px: f64,
    /// Values with a tick, and their labels.
    pub(super) ticks: Vec<(f64, String)>,
}

impl<'a> Placed<'a> {
    /// Lays `axis` out for `values`, with at most about `room` ticks.
    pub(super) fn new(axis: &'a Axis, values: impl Iterator<Item = f64>, room: usize) -> Placed<'a> {
        let scale = &axis.scale;
        let values: Vec<f64> = values
            .filter(|value| value.is_finite() && (*scale != Scale::Log || *value > 0.0))
            .map(|value| if value > 0.0 { value.clamp(DRAWN.0, DRAWN.1) } else { value })
            .collect();
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (least, most) = if values.is_empty() { (1.0, 1.0) } else { (least, most) };
        let room = room.max(2);
        let (low, high, ticks) = match scale {
            Scale::Linear | Scale::Tight => linear(most.max(0.0), room, *scale == Scale::Linear),
            Scale::Log => log(least, most, room),
            Scale::Nines => nines(most, room),
            Scale::Names(names) => {
                let ticks = names.iter().enumerate().map(|(index, name)| (index as f64, name.clone()));
                (-0.5, names.len().max(1) as f64 - 0.5, ticks.collect())
            }
        };
        Placed { scale, low, high, from_px: 0.0, to_px: 1.0, ticks }
    }

    /// Where it begins and ends on the paper.
    pub(super) fn between(mut self, from_px: f64, to_px: f64) -> Placed<'a> {
        (self.from_px, self.to_px) = (from_px, to_px);
        self
    }

    /// Where `value` lies on the paper; values beyond an end lie at it.
    pub(super) fn at(&self, value: f64) -> f64 {
        let along = match self.scale {
            Scale::Linear | Scale::Tight | Scale::Names(_) => value,
            Scale::Log => value.max(f64::MIN_POSITIVE).log10(),
            Scale::Nines => nine(value),
        };
        let part = ((along - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        self.from_px + part * (self.to_px - self.from_px)
    }
}

/// How many nines a quantile has: 0 for 0, 1 for 0.9, 2 for 0.99.
fn nine(quantile: f64) -> f64 {
    -(1.0 - quantile.clamp(0.0, 1.0 - 1e-12)).log10()
}

type Span = (f64, f64, Vec<(f64, String)>);

fn linear(most: f64, room: usize, round: bool) -> Span {
    let most = if most > 0.0 { most } else { 1.0 };
    let raw = most / room as f64;
    let decade = 10f64.powf(raw.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].map(|factor| factor * decade).into_iter().find(|step| *step >= raw * 0.999);
    let step = step.unwrap_or(10.0 * decade);
    let high = if round { (most / step - 1e-9).ceil() * step } else { most };
    let decimals = (-(step.log10() + 1e-9).floor()).max(0.0) as usize;
    let count = (high / step + 1e-9).floor() as usize;
    let ticks = (0..=count).map(|index| index as f64 * step);
    (0.0, high, ticks.map(|value| (value, thousands(&format!("{value:.decimals$}")))).collect())
}

fn log(least: f64, most: f64, room: usize) -> Span {
    let rounds = |value: f64, up: bool| {
        let decade = 10f64.powf(value.log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * decade);
        let found = if up {
            steps.into_iter().find(|step| *step >= value * 0.999_999)
        } else {
            steps.into_iter().rev().find(|step| *step <= value * 1.000_001)
        };
        found.unwrap_or(value)
    };
    let (low, mut high) = (rounds(least, false), rounds(most, true));
    if high <= low {
        high = low * 10.0;
    }
    let decades = (high / low).log10();
    let factors: &[f64] = if decades * 3.0 <= room as f64 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let every = (decades / room as f64).ceil().max(1.0) as i32;
    let first = low.log10().floor() as i32;
    let last = high.log10().ceil() as i32;
    let mut ticks = Vec::new();
    for (index, exponent) in (first..=last).enumerate() {
        if index as i32 % every != 0 {
            continue;
        }
        for factor in factors {
            let value = factor * 10f64.powi(exponent);
            if value >= low * 0.999_999 && value <= high * 1.000_001 {
                let decimals = (-exponent).max(0) as usize;
                ticks.push((value, thousands(&format!("{value:.decimals$}"))));
            }
        }
    }
    (low.log10(), high.log10(), ticks)
}

fn nines(most: f64, room: usize) -> Span {
    let high = nine(most).max(1.0);
    let whole = (high + 1e-6).floor() as usize;
    let every = whole.div_ceil(2 * room.max(2)).max(1);
    let mut ticks = vec![(0.0, "0 %".to_owned())];
    if nine(0.5) / high * room as f64 > 0.7 {
        ticks.push((0.5, "50 %".to_owned()));
    }
    for count in (1..=whole).step_by(every) {
        let decimals = count.saturating_sub(2);
        let value = 1.0 - 10f64.powi(-(count as i32));
        ticks.push((value, format!("{:.decimals$} %", value * 100.0)));
    }
    (0.0, high, ticks)
}

/// Parts thousands with narrow blanks: `12 000`.
fn thousands(number: &str) -> String {
    let whole = number.split('.').next().unwrap_or(number).len();
    if whole <= 4 {
        return number.to_owned();
    }
    let mut parted = String::new();
    for (index, c) in number.chars().enumerate() {
        if index > 0 && index < whole && (whole - index).is_multiple_of(3) {
            parted.push('\u{202f}');
        }
        parted.push(c);
    }
    parted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(scale: Scale, values: &[f64], room: usize) -> Vec<String> {
        let axis = Axis::new("", scale);
        let placed = Placed::new(&axis, values.iter().copied(), room);
        placed.ticks.into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(labels(Scale::Linear, &[4.3], 5), ["0", "1", "2", "3", "4", "5"]);
        assert_eq!(labels(Scale::Linear, &[0.43], 5), ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5"]);
        assert_eq!(
            labels(Scale::Linear, &[38_000.0], 4),
            ["0", "10\u{202f}000", "20\u{202f}000", "30\u{202f}000", "40\u{202f}000"]
        );
        assert_eq!(labels(Scale::Tight, &[1.9], 4), ["0.0", "0.5", "1.0", "1.5"]);
        assert_eq!(labels(Scale::Log, &[3.0, 70.0], 8), ["2", "5", "10", "20", "50", "100"]);
        assert_eq!(
            labels(Scale::Log, &[3.0, 70_000.0], 6),
            ["10", "100", "1000", "10\u{202f}000", "100\u{202f}000"]
        );
        assert_eq!(labels(Scale::Nines, &[0.999], 9), ["0 %", "50 %", "90 %", "99 %", "99.9 %"]);
        assert_eq!(labels(Scale::Nines, &[0.9999], 5), ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
        assert_eq!(labels(Scale::Nines, &[0.99999], 2), ["0 %", "90 %", "99.9 %", "99.999 %"]);
    }

    #[test]
    fn another_nine_is_as_far_again() {
        let axis = Axis::new("", Scale::Nines);
        let placed = Placed::new(&axis, [0.999].into_iter(), 8).between(0.0, 300.0);
        for (quantile, px) in [(0.0, 0.0), (0.9, 100.0), (0.99, 200.0), (0.999, 300.0), (1.0, 300.0)] {
            assert!((placed.at(quantile) - px).abs() < 1e-6, "{quantile}");
        }
    }

    #[test]
    fn the_largest_and_the_smallest_numbers_are_drawn_at_the_ends() {
        for scale in [Scale::Linear, Scale::Tight, Scale::Log] {
            let axis = Axis::new("", scale);
            for values in [[4e-157, 1.5e308], [5e-324, 0.0], [f64::MAX, f64::MAX], [f64::MAX, f64::MIN]] {
                let placed = Placed::new(&axis, values.into_iter(), 5).between(0.0, 100.0);
                assert!(placed.ticks.len() <= 24, "{values:?}: {:?}", placed.ticks);
                assert!(
                    placed.ticks.iter().all(|(_, label)| label.chars().count() < 32),
                    "{:?}",
                    placed.ticks
                );
                assert!(values.iter().all(|value| (0.0..=100.0).contains(&placed.at(*value))), "{values:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_values_have_places(
            values in prop::collection::vec(any::<f64>(), 0..8),
            which in 0..4usize,
            room in 0..12usize,
        ) {
            let scale = [Scale::Linear, Scale::Tight, Scale::Log, Scale::Nines][which].clone();
            let axis = Axis::new("", scale);
            let placed = Placed::new(&axis, values.iter().copied(), room).between(10.0, 20.0);
            prop_assert!(placed.ticks.len() <= 4 * room.max(2) + 4, "{:?}", placed.ticks);
            for value in values.iter().copied().chain(placed.ticks.iter().map(|(value, _)| *value)) {
                let at = placed.at(value);
                prop_assert!(value.is_nan() || (10.0..=20.0).contains(&at), "{value} at {at}");
            }
        }
    }
}
