//! Which load a target wants measured next.
//!
//! A target is a goal, or a coarser and quicker stand-in on the way to it. What the stand-in found is where the next
//! target begins: its bounds are measured again, or the middle between them; and where they do not hold, steps away
//! from them grow until a new bound is found, and the interval is cut.

use super::grid::{Grid, middle};
use super::tally::Aim;

/// A goal's own target, or one on the way to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Target {
    /// What trials are held against.
    pub(super) aim: Aim,
    /// How far apart bounds may be, in steps of the grid.
    pub(super) width: i64,
    /// By how much steps grow.
    pub(super) expansion: i64,
}

/// Relevant bounds of a target, by their numbers on the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Bounds {
    pub(super) low: Option<i64>,
    pub(super) high: Option<i64>,
}

impl Bounds {
    /// Whether a trial at `load` would change nothing for a target of this width.
    fn make_needless(&self, load: i64, width: i64) -> bool {
        self.low.is_some_and(|low| low >= load)
            || self.high.is_some_and(|high| high <= load)
            || matches!((self.low, self.high), (Some(low), Some(high)) if high - low <= width)
    }
}

/// The load a target wants measured, and the width that is to be the common one if it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) load: i64,
    pub(super) width: i64,
    by: Way,
}

/// How a wish came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The bounds of the target before, or their middle, measured for this one.
    Refine,
    /// Up or down from the only bound there is.
    ExtendUp,
    ExtendDown,
    /// Up or down from a bound, within an interval whose middle is further away than the step.
    Down,
    Up,
    /// The middle.
    Cut,
}

/// Moves a wanted load to where a trial helps: inside the bounds, a whole width away from each, and onto the end of
/// the range where only less than a width is left to it.
pub(super) fn fit(grid: &Grid, load: i64, width: i64, bounds: Bounds) -> Option<i64> {
    let load = load.clamp(0, grid.last());
    let inside = bounds.low.is_none_or(|low| low < load) && bounds.high.is_none_or(|high| load < high);
    if !inside {
        return None;
    }
    let (least, most) = (bounds.low.unwrap_or(0), bounds.high.unwrap_or(grid.last()));
    let (measured_least, measured_most) = (bounds.low.is_some(), bounds.high.is_some());
    let room = most - least;
    if width >= room {
        return match (measured_least, measured_most) {
            (false, _) => Some(least),
            (true, false) => Some(most),
            (true, true) => None,
        };
    }
    let (mut from, mut to) = (least + width, most - width);
    if from > to {
        from = middle(least, room, width);
        to = from;
    }
    Some(match load {
        low if low < from => {
            if measured_least {
                from
            } else {
                least
            }
        }
        high if high > to => {
            if measured_most {
                to
            } else {
                most
            }
        }
        _ => load,
    })
}

/// What one target remembers from trial to trial.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strategy {
    /// Bounds of the target before, or the loads of the first trials.
    initial: Bounds,
    /// The next step away from a bound.
    step: i64,
}

impl Strategy {
    pub(super) fn new(target: &Target, initial: Bounds) -> Strategy {
        let interval = initial.low.zip(initial.high).map_or(0, |(low, high)| high - low);
        Strategy { initial, step: target.width.max(interval) * target.expansion }
    }

    /// What to measure next for `target`, whose bounds are `bounds`; `None` if they are close enough.
    /// `common` is the width that targets of all goals are at.
    pub(super) fn wish(&mut self, target: &Target, bounds: Bounds, common: i64, grid: &Grid) -> Option<Wish> {
        let refined = self.halve(target).into_iter().chain(self.initial.low).chain(self.initial.high);
        if let Some(load) = refined.into_iter().find(|&load| !bounds.make_needless(load, target.width)) {
            self.limit(target, target.width);
            return Some(Wish { load, width: target.width, by: Way::Refine });
        }
        let step = common.max(self.step);
        match (bounds.low, bounds.high) {
            (None, None) => None,
            (None, Some(high)) => {
                let load = fit(grid, high - step, target.width, bounds).filter(|_| high > 0)?;
                Some(Wish { load, width: step, by: Way::ExtendDown })
            }
            (Some(low), None) => {
                let load = fit(grid, low + step, target.width, bounds).filter(|_| low < grid.last())?;
                Some(Wish { load, width: step, by: Way::ExtendUp })
            }
            (Some(low), Some(high)) => self.cut(target, low, high, step, grid),
        }
    }

    /// The middle of the initial interval, where one cut of it is enough.
    fn halve(&self, target: &Target) -> Option<i64> {
        let (low, high) = self.initial.low.zip(self.initial.high)?;
        let interval = high - low;
        (interval > target.width && interval <= 2 * target.width).then(|| middle(low, interval, target.width))
    }

    /// A step into the interval from the end where the initial bounds were, if that is shorter; else its middle.
    fn cut(&mut self, target: &Target, low: i64, high: i64, step: i64, grid: &Grid) -> Option<Wish> {
        if high - low <= target.width {
            return None;
        }
        let cut = middle(low, high - low, target.width);
        let bounds = Bounds { low: Some(low), high: Some(high) };
        if let Some(initial) = self.initial.high.filter(|&initial| cut < initial)
            && let Some(load) = fit(grid, high - step, target.width, bounds)
            && load > cut
            && load < initial
        {
            return Some(Wish { load, width: step, by: Way::Down });
        }
        if let Some(initial) = self.initial.low.filter(|&initial| cut > initial)
            && let Some(load) = fit(grid, low + step, target.width, bounds)
            && load < cut
            && load > initial
        {
            return Some(Wish { load, width: step, by: Way::Up });
        }
        let width = (cut - low).min(high - cut);
        self.limit(target, width);
        Some(Wish { load: cut, width, by: Way::Cut })
    }

    /// From here on steps begin anew, at `width`.
    fn limit(&mut self, target: &Target, width: i64) {
        self.step = width.max(target.width) * target.expansion;
    }

    /// The wish was fulfilled, and `bounds` are those since. Returns the new common width if the step led no further
    /// than to a new bound on the side it started from: the next will be longer.
    pub(super) fn fulfilled(&mut self, target: &Target, wish: &Wish, bounds: Bounds) -> Option<i64> {
        let same_side = match wish.by {
            Way::ExtendUp | Way::Up => bounds.low == Some(wish.load),
            Way::ExtendDown | Way::Down => bounds.high == Some(wish.load),
            Way::Refine | Way::Cut => false,
        };
        same_side.then(|| {
            self.step *= target.expansion;
            self.step
        })
    }
}
