//! MLRsearch: any number of goals in one search, and no more time at a load than it takes to be sure (RFC 9971).
//!
//! Three short trials find where the loss ratios cross; then each goal is approached through coarser and shorter
//! targets. Each target says what it would measure next; the smallest load among the wishes is measured, since its
//! result tells most about the others. Every trial counts for every goal.

use std::collections::BTreeMap;

use super::grid::{Grid, LoadRange};
use super::strategy::{Bounds, Strategy, Target, Wish, fit};
use super::tally::{Aim, Tally, Verdict};
use super::{Attempt, Bound, Controller, Goal, GoalError, GoalResult, Outcome};

/// A search under way.
#[derive(Debug, Clone)]
pub struct Search {
    goals: Vec<Goal>,
    grid: Grid,
    /// Of all goals, each goal's from the coarsest to its own.
    targets: Vec<Target>,
    /// By number on the grid.
    loads: BTreeMap<i64, Measured>,
    selectors: Vec<Selector>,
    common_width: i64,
    stage: Stage,
    asked: Option<Asked>,
}

/// What was measured at a load.
#[derive(Debug, Clone)]
struct Measured {
    trials: Vec<(f64, Outcome)>,
    /// One for each target.
    tallies: Vec<Tally>,
}

/// The way of one goal through its targets.
#[derive(Debug, Clone)]
struct Selector {
    /// Index of the present target.
    target: usize,
    /// Index of the goal's own target.
    last: usize,
    strategy: Strategy,
}

/// How far the search has come.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    /// The largest load is to be measured.
    First,
    /// The load that what came through suggests.
    Second(i64),
    /// One a little above or below it, on the other side of what is looked for.
    Third { second: i64, load: i64 },
    /// What the targets wish.
    Main,
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    load: i64,
    duration_s: f64,
    /// Whose wish it is.
    wish: Option<(usize, Wish)>,
}

/// What the first trials are like: strict and wide enough for every goal.
struct First {
    loss_ratio: f64,
    trial_s: f64,
    width: i64,
}

impl Search {
    /// A search for `goals` among the loads of `range`, which must be sound.
    pub fn new(goals: &[Goal], range: LoadRange) -> Result<Search, GoalError> {
        goals.iter().try_for_each(Goal::check)?;
        let unsound = |goal: &str, sentence: &str| GoalError { goal: goal.into(), sentence: sentence.into() };
        if goals.is_empty() || !range.is_sound() {
            let goal = goals.first().map_or("none", |goal| goal.name.as_str());
            return Err(unsound(goal, "there is nothing to search, or no loads to search in"));
        }
        let widths: Vec<f64> = goals.iter().map(|goal| goal.width).collect();
        let grid = Grid::new(range, &widths);
        let mut targets = Vec::new();
        let mut selectors = Vec::new();
        for goal in goals {
            let first = targets.len();
            targets.extend(targets_of(goal, &grid));
            let strategy = Strategy::new(&targets[first], Bounds::default());
            selectors.push(Selector { target: first, last: targets.len() - 1, strategy });
        }
        Ok(Search {
            goals: goals.to_vec(),
            grid,
            targets,
            loads: BTreeMap::new(),
            selectors,
            common_width: 0,
            stage: Stage::First,
            asked: None,
        })
    }

    fn first(&self) -> First {
        // Every goal's first target is before its first trial where its selector stands.
        let targets = || self.selectors.iter().map(|selector| &self.targets[selector.target]);
        First {
            loss_ratio: targets().map(|t| t.aim.loss_ratio).fold(f64::INFINITY, f64::min),
            trial_s: targets().map(|t| t.aim.trial_s).fold(0.0, f64::max),
            width: targets().map(|t| t.width).max().unwrap_or(1),
        }
    }

    /// The load that would have passed the trial just made, had all that came through been all that was sent.
    fn passing(&self, load: i64, outcome: &Outcome, loss_ratio: f64) -> i64 {
        let forwarded_pps = self.grid.load_pps(load) * (1.0 - outcome.loss_ratio());
        self.grid.at_most(forwarded_pps * (1.0 / (1.0 - loss_ratio)))
    }

    /// After one of the first trials: what to do next.
    fn advance(&mut self, load: i64, outcome: &Outcome) {
        let First { loss_ratio, width, .. } = self.first();
        let last = self.grid.last();
        let passing = self.passing(load, outcome, loss_ratio);
        let next = match self.stage {
            Stage::First => {
                let below = Bounds { low: None, high: Some(last) };
                fit(&self.grid, passing, width, below).map(Stage::Second)
            }
            Stage::Second(second) => {
                let third = if outcome.loss_ratio() > loss_ratio {
                    fit(&self.grid, passing, width, Bounds { low: None, high: Some(second) })
                } else {
                    fit(&self.grid, second + width, width, Bounds { low: Some(second), high: Some(last) })
                };
                third.map(|load| Stage::Third { second, load })
            }
            Stage::Third { second, .. } => return self.begin(second, load),
            Stage::Main => return,
        };
        match next {
            Some(stage) => self.stage = stage,
            None => self.begin(load, load),
        }
    }

    /// The first trials are over; `one` and `other` are where to begin.
    fn begin(&mut self, one: i64, other: i64) {
        let initial = Bounds { low: Some(one.min(other)), high: Some(one.max(other)) };
        self.common_width = (one - other).abs();
        self.stage = Stage::Main;
        for selector in &mut self.selectors {
            selector.strategy = Strategy::new(&self.targets[selector.target], initial);
        }
    }

    /// The smallest upper bound, and the largest lower bound below it.
    fn bounds(&self, target: usize) -> Bounds {
        let mut bounds = Bounds::default();
        for (&load, measured) in &self.loads {
            match measured.tallies[target].verdict() {
                Verdict::Undecided => {}
                Verdict::Lower => bounds.low = Some(load),
                Verdict::Upper => return Bounds { high: Some(load), ..bounds },
            }
        }
        bounds
    }

    /// What a goal's present target wishes, once it has gone past those that are reached.
    fn wish(&mut self, goal: usize) -> Option<Wish> {
        loop {
            let at = self.selectors[goal].target;
            let bounds = self.bounds(at);
            let selector = &mut self.selectors[goal];
            let wish = selector.strategy.wish(&self.targets[at], bounds, self.common_width, &self.grid);
            if wish.is_some() || at == selector.last {
                return wish;
            }
            selector.target += 1;
            selector.strategy = Strategy::new(&self.targets[at + 1], bounds);
        }
    }

    /// The wish to fulfil first: the smallest load, then the longest trial, then the largest width.
    fn main(&mut self) -> Option<Asked> {
        let mut best: Option<(f64, usize, Wish)> = None;
        for goal in 0..self.goals.len() {
            let Some(wish) = self.wish(goal) else { continue };
            let trial_s = self.targets[self.selectors[goal].target].aim.trial_s;
            let better = best.is_none_or(|(best_s, _, best)| {
                let order = wish.load.cmp(&best.load).then(best_s.total_cmp(&trial_s));
                order.then(best.width.cmp(&wish.width)).is_lt()
            });
            if better {
                best = Some((trial_s, goal, wish));
            }
        }
        best.map(|(duration_s, goal, wish)| Asked { load: wish.load, duration_s, wish: Some((goal, wish)) })
    }

    fn bound(&self, load: i64, target: usize) -> Bound {
        let measured = &self.loads[&load];
        let tally = measured.tallies[target];
        Bound {
            load_pps: self.grid.load_pps(load),
            tally,
            conditional_loss_ratio: tally.conditional_loss_ratio(&measured.trials),
        }
    }
}

impl Controller for Search {
    fn next(&mut self) -> Option<Attempt> {
        if self.asked.is_none() {
            let trial_s = self.first().trial_s;
            let first = |load| Some(Asked { load, duration_s: trial_s, wish: None });
            self.asked = match self.stage {
                Stage::First => first(self.grid.last()),
                Stage::Second(load) | Stage::Third { load, .. } => first(load),
                Stage::Main => self.main(),
            };
        }
        let asked = self.asked?;
        Some(Attempt { load_pps: self.grid.load_pps(asked.load), duration_s: asked.duration_s })
    }

    fn record(&mut self, outcome: Outcome) {
        let Some(Asked { load, duration_s, wish }) = self.asked.take() else { return };
        let targets = &self.targets;
        let measured = self.loads.entry(load).or_insert_with(|| Measured {
            trials: Vec::new(),
            tallies: targets.iter().map(|target| Tally::new(target.aim)).collect(),
        });
        measured.trials.push((duration_s, outcome));
        measured.tallies.iter_mut().for_each(|tally| tally.add(duration_s, &outcome));
        let Some((goal, wish)) = wish else { return self.advance(load, &outcome) };
        self.common_width = wish.width;
        let at = self.selectors[goal].target;
        let bounds = self.bounds(at);
        let grown = self.selectors[goal].strategy.fulfilled(&self.targets[at], &wish, bounds);
        self.common_width = grown.unwrap_or(self.common_width);
    }

    fn results(&self) -> Vec<GoalResult> {
        let results = self.goals.iter().zip(&self.selectors).map(|(goal, selector)| {
            let bounds = self.bounds(selector.last);
            let bound = |load: Option<i64>| load.map(|load| self.bound(load, selector.last));
            GoalResult::new(goal, bound(bounds.low), bound(bounds.high))
        });
        results.collect()
    }

    /// Each target still to be reached costs two loads, decided on average after the larger part of its time; the
    /// present one, as many as its interval has yet to be halved.
    fn remaining_s(&self) -> f64 {
        // Asking changes what is remembered of earlier wishes, so a copy is asked.
        if self.clone().next().is_none() {
            return 0.0;
        }
        let of_target = |index: usize, present: bool| {
            let target = &self.targets[index];
            let Bounds { low, high } = self.bounds(index);
            let loads = match low.zip(high) {
                Some((low, high)) if present && high - low <= target.width => 0.0,
                Some((low, high)) if present => ((high - low) as f64 / target.width as f64).log2().ceil(),
                _ => 2.0,
            };
            loads * target.aim.duration_sum_s * target.aim.exceed_ratio.max(1.0 - target.aim.exceed_ratio)
        };
        let of_goal = |s: &Selector| (s.target..=s.last).map(|i| of_target(i, i == s.target)).sum::<f64>();
        self.selectors.iter().map(of_goal).sum()
    }
}

/// A goal's targets, the coarsest first: each has half the width of the one before, and durations grow from the
/// initial one to the goal's by equal factors.
fn targets_of(goal: &Goal, grid: &Grid) -> Vec<Target> {
    let Goal { duration_sum_s, initial_trial_s, preceding_targets: preceding, .. } = *goal;
    let factor = (initial_trial_s / duration_sum_s).powf(1.0 / f64::from(preceding.max(1)));
    let targets = (0..=preceding).rev().map(|before_last| {
        let sum_s = match before_last {
            0 => duration_sum_s,
            first if first == preceding => initial_trial_s,
            between => duration_sum_s * factor.powf(f64::from(between)),
        };
        let aim = Aim { trial_s: goal.final_trial_s.min(sum_s), duration_sum_s: sum_s, ..Aim::of(goal) };
        Target { aim, width: grid.steps(goal.width) << before_last, expansion: goal.expansion.into() }
    });
    targets.collect()
}
