//! For notebooks: one row a trial, or one a raw window, every figure with its unit in the header; and, beside rows of
//! trials, one for each goal of each search, which has the circumstances of its trials and no figures but its own.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, Write};

use super::export::{Export, Selection};
use super::kept::Kept;
use super::{Report, ReportError, View};
use crate::result::{
    Arrivals, Cost, FlowOrder, GoalResult, Latency, Load, LoadedLatency, Offered, Pacing, ResultDocument,
    SearchRecord, ThreadKind, Trial,
};
use crate::stats::Summary;

/// Writes CSV (RFC 4180) with a header. What a trial does not have is left empty.
pub(super) struct Csv;

impl Report for Csv {
    fn write(&self, document: &ResultDocument, _: &View, out: &mut dyn Write) -> Result<(), ReportError> {
        let mut writer = ::csv::Writer::from_writer(out);
        writer.write_record(header()).map_err(io_error)?;
        for row in rows(document) {
            writer.write_record(row).map_err(io_error)?;
        }
        writer.flush()?;
        Ok(())
    }
}

/// Several documents: the same with the document's name in the first column.
impl Export for Csv {
    fn write(&self, results: &[Kept], _: &Selection, out: &mut dyn Write) -> Result<(), ReportError> {
        let mut writer = ::csv::Writer::from_writer(out);
        writer.write_record(["document"].into_iter().chain(header())).map_err(io_error)?;
        for kept in results {
            for row in rows(&kept.document) {
                writer.write_record([kept.name.clone()].into_iter().chain(row)).map_err(io_error)?;
            }
        }
        writer.flush()?;
        Ok(())
    }
}

fn header() -> impl Iterator<Item = &'static str> {
    COLUMNS.iter().map(|(name, _)| *name).chain(SEARCH_COLUMNS.iter().map(|(name, _)| *name))
}

/// A row for every trial, those of searches among them, then one for every goal of every search.
fn rows(document: &ResultDocument) -> impl Iterator<Item = Vec<String>> {
    let of_searches = document.searches.iter().flat_map(SearchRecord::all_trials);
    let of_trials = document.trials.iter().chain(of_searches).map(move |trial| {
        let row = COLUMNS.iter().map(|(_, cell)| cell(document, trial));
        row.chain(SEARCH_COLUMNS.iter().map(|_| String::new())).collect()
    });
    let of_goals = document.searches.iter().flat_map(move |search| {
        let alike = search.trials.first().map(|trial| &trial.raw);
        search.results.iter().map(move |result| {
            let row = COLUMNS.iter().map(|(name, cell)| match alike {
                Some(trial) if CIRCUMSTANCES.contains(name) => cell(document, trial),
                _ => String::new(),
            });
            row.chain(SEARCH_COLUMNS.iter().map(|(_, cell)| cell(search, result))).collect()
        })
    });
    of_trials.chain(of_goals)
}

/// Writes a row for every raw window: what the trial was, when the window was, what was counted in it.
pub(super) struct Windows;

impl Export for Windows {
    fn write(&self, results: &[Kept], _: &Selection, out: &mut dyn Write) -> Result<(), ReportError> {
        let mut writer = ::csv::Writer::from_writer(out);
        let keys = || COLUMNS.iter().filter(|(name, _)| WINDOW_KEYS.contains(name));
        let header = ["document"].into_iter().chain(keys().map(|(name, _)| *name));
        writer.write_record(header.chain(WINDOW_COLUMNS.map(|(name, _)| name))).map_err(io_error)?;
        for kept in results {
            let searches = kept.document.searches.iter().flat_map(SearchRecord::all_trials);
            for trial in kept.document.trials.iter().chain(searches) {
                let key: Vec<String> = keys().map(|(_, cell)| cell(&kept.document, trial)).collect();
                let lost = trial.lost_by_window();
                for index in 0..trial.windows.len() {
                    let lost = [index.checked_sub(1), Some(index)].map(|at| at.map_or(0, |at| lost[at]));
                    let cells = WINDOW_COLUMNS.map(|(_, cell)| cell(trial, index, lost[1] - lost[0]));
                    let row = [&kept.name].into_iter().chain(&key).chain(&cells);
                    writer.write_record(row).map_err(io_error)?;
                }
            }
        }
        writer.flush()?;
        Ok(())
    }
}

/// What says which trial a window belongs to.
const WINDOW_KEYS: [&str; 14] = [
    "scenario",
    "dataplane",
    "accelerator",
    "guest_driver",
    "parameters",
    "vms",
    "frame_size",
    "direction",
    "repeat",
    "order",
    "flows",
    "offered_pps",
    "offered_l1_bps",
    "offered_l2_bps",
];

/// Makes one cell of a window.
type WindowCell = fn(&Trial, usize, u64) -> String;

/// From the trial, the window's index, and what of the frames sent in it never arrived.
const WINDOW_COLUMNS: [(&str, WindowCell); 7] = [
    ("window", |_, index, _| (index + 1).to_string()),
    ("start_ns", |t, index, _| t.windows[index].start_ns.to_string()),
    ("end_ns", |t, index, _| t.windows[index].end_ns.to_string()),
    ("sent_frames", |t, index, _| t.sent_in(&t.windows[index]).to_string()),
    ("received_frames", |t, index, _| t.received_in(&t.windows[index]).to_string()),
    ("lost_frames", |_, _, lost| lost.to_string()),
    ("rate_mpps", |t, index, _| t.rx_mpps(&t.windows[index]).to_string()),
];

/// Keeps the kind of an output error, so that a closed pipe is told from a full disk.
fn io_error(error: ::csv::Error) -> io::Error {
    match error.into_kind() {
        ::csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// Makes one cell.
type Cell = fn(&ResultDocument, &Trial) -> String;

const COLUMNS: &[(&str, Cell)] = &[
    ("started_at", |d, _| d.manifest.started_at.clone()),
    ("tool_version", |d, _| d.manifest.tool.version.clone()),
    ("git_revision", |d, _| optional(d.manifest.tool.git_revision.as_ref())),
    ("scenario", |_, t| t.scenario.clone()),
    ("dataplane", |_, t| t.dataplane.name.clone()),
    ("accelerator", |_, t| match t.dataplane.accelerator {
        crate::result::Accelerator::None => String::new(),
        other => other.label().to_lowercase(),
    }),
    ("guest_driver", |_, t| optional(t.dataplane.guest_driver.as_ref())),
    ("parameters", |_, t| pairs(&t.dataplane.parameters)),
    ("vms", |_, t| t.vms.to_string()),
    ("ports", |_, t| t.ports.len().to_string()),
    ("frame_size", |_, t| t.frame_size.label.clone()),
    ("frame_mean_bytes", |_, t| t.frame_size.mean_bytes().to_string()),
    ("direction", |_, t| t.direction.label().to_owned()),
    ("offered_pps", |_, t| match t.offered {
        Offered::Pps { rate_pps } => rate_pps.to_string(),
        _ => String::new(),
    }),
    ("offered_l1_bps", |_, t| match t.offered {
        Offered::L1 { rate_l1_bps } => rate_l1_bps.to_string(),
        _ => String::new(),
    }),
    ("offered_l2_bps", |_, t| match t.offered {
        Offered::L2 { rate_l2_bps } => rate_l2_bps.to_string(),
        _ => String::new(),
    }),
    ("flows", |_, t| t.flows.to_string()),
    ("arrivals", |_, t| {
        load(t, |l| match l.arrivals {
            Arrivals::Constant => "constant".into(),
            Arrivals::Poisson => "poisson".into(),
            Arrivals::Bursts { frames } => format!("burst:{frames}"),
        })
    }),
    ("flow_order", |_, t| {
        load(t, |l| match l.flow_order {
            FlowOrder::RoundRobin => "round-robin".into(),
            FlowOrder::Random => "random".into(),
            FlowOrder::Zipf { exponent } => format!("zipf:{exponent}"),
        })
    }),
    ("seed", |_, t| load(t, |l| l.seed.to_string())),
    ("pcap", |_, t| load(t, |l| optional(l.pcap.as_ref().map(|file| &file.file)))),
    ("repeat", |_, t| t.repeat.to_string()),
    ("order", |_, t| t.order.to_string()),
    ("warmup_s", |_, t| t.warmup_s.to_string()),
    ("duration_s", |_, t| t.duration_s.to_string()),
    ("rate_mpps", |_, t| t.throughput.aggregate.rate_mpps.to_string()),
    ("rate_l2_gbps", |_, t| t.throughput.aggregate.rate_l2_gbps.to_string()),
    ("rate_l1_gbps", |_, t| t.throughput.aggregate.rate_l1_gbps.to_string()),
    ("windows", |_, t| t.windows.len().to_string()),
    ("window_min_mpps", |_, t| optional(windows(t).map(|s| s.min))),
    ("window_median_mpps", |_, t| optional(windows(t).map(|s| s.median))),
    ("window_max_mpps", |_, t| optional(windows(t).map(|s| s.max))),
    ("window_cv", |_, t| optional(windows(t).and_then(|s| s.cv()))),
    ("sent_frames", |_, t| t.accounting.sent.to_string()),
    ("received_frames", |_, t| t.accounting.received.to_string()),
    ("dropped_frames", |_, t| t.accounting.dropped().to_string()),
    ("drops_by_cause", |_, t| pairs(&t.accounting.drops)),
    ("unaccounted_frames", |_, t| t.accounting.unaccounted.to_string()),
    ("loss_ratio", |_, t| t.accounting.loss_ratio().to_string()),
    ("switch_cpu_ns", |_, t| optional(t.switch_cpu_ns)),
    ("cpu_ns_per_frame", |_, t| cost(t, |c| Some(c.cpu_ns_per_frame))),
    ("switch_cpu_ns_per_frame", |_, t| cost(t, |c| c.switch_cpu_ns_per_frame)),
    ("engine_cpu_ns_per_frame", |_, t| cost(t, |c| c.ns_per_frame(ThreadKind::Engine))),
    ("vcpu_cpu_ns_per_frame", |_, t| cost(t, |c| c.ns_per_frame(ThreadKind::Vcpu))),
    ("vmm_cpu_ns_per_frame", |_, t| cost(t, |c| c.ns_per_frame(ThreadKind::Vmm))),
    ("mpps_per_core", |_, t| cost(t, |c| Some(c.mpps_per_core))),
    ("context_switches_per_s", |_, t| cost(t, |c| Some(c.context_switches_per_s))),
    ("guest_exits", |_, t| {
        cost(t, |c| {
            c.guests.iter().map(|guest| guest.exits).sum::<Option<u64>>().filter(|_| !c.guests.is_empty())
        })
    }),
    ("pacing_asked_pps", |_, t| pacing(t, |p| Some(p.asked_pps))),
    ("pacing_achieved_pps", |_, t| pacing(t, |p| Some(p.achieved_pps))),
    ("pacing_late_p50_ns", |_, t| pacing(t, |p| Some(p.lateness.as_ref()?.p50_ns))),
    ("pacing_late_p99_ns", |_, t| pacing(t, |p| Some(p.lateness.as_ref()?.p99_ns))),
    ("pacing_late_max_ns", |_, t| pacing(t, |p| Some(p.lateness.as_ref()?.max_ns))),
    ("pacing_within_2us_ratio", |_, t| pacing(t, |p| Some(p.within_2us_ratio))),
    ("latency_floor_p50_ns", |_, t| optional(t.latency_floor.as_ref().map(|l| l.p50_ns))),
    ("latency_under_load", |_, t| t.latency_under_load.iter().map(under_load).collect::<Vec<_>>().join(";")),
    ("latency_count", |_, t| latency(t, |l| l.count)),
    ("latency_lost", |_, t| latency(t, |l| l.lost)),
    ("latency_min_ns", |_, t| latency(t, |l| l.min_ns)),
    ("latency_mean_ns", |_, t| latency(t, |l| l.mean_ns)),
    ("latency_p50_ns", |_, t| latency(t, |l| l.p50_ns)),
    ("latency_p90_ns", |_, t| latency(t, |l| l.p90_ns)),
    ("latency_p99_ns", |_, t| latency(t, |l| l.p99_ns)),
    ("latency_p99_9_ns", |_, t| latency(t, |l| l.p99_9_ns)),
    ("latency_max_ns", |_, t| latency(t, |l| l.max_ns)),
    ("warnings", |d, t| {
        let kinds = d.warnings.iter().chain(&t.warnings).map(|warning| warning.kind());
        kinds.collect::<Vec<_>>().join(";")
    }),
];

/// Columns in which a search is like its trials.
const CIRCUMSTANCES: [&str; 14] = [
    "started_at",
    "tool_version",
    "git_revision",
    "scenario",
    "dataplane",
    "accelerator",
    "guest_driver",
    "parameters",
    "vms",
    "ports",
    "frame_size",
    "frame_mean_bytes",
    "direction",
    "flows",
];

/// Makes one cell of a goal's row.
type SearchCell = fn(&SearchRecord, &GoalResult) -> String;

const SEARCH_COLUMNS: &[(&str, SearchCell)] = &[
    ("search_method", |s, _| s.method.label().to_owned()),
    ("search_repeat", |s, _| s.repeat.to_string()),
    ("senders", |s, _| s.senders.to_string()),
    ("goal", |_, r| r.goal.name.clone()),
    ("goal_final_trial_duration_s", |_, r| r.goal.final_trial_duration_s.to_string()),
    ("goal_duration_sum_s", |_, r| r.goal.duration_sum_s.to_string()),
    ("goal_loss_ratio", |_, r| r.goal.loss_ratio.to_string()),
    ("goal_exceed_ratio", |_, r| r.goal.exceed_ratio.to_string()),
    ("goal_width", |_, r| r.goal.width.to_string()),
    ("relevant_lower_bound_mpps", |s, r| mpps(s, r.throughput_pps())),
    ("relevant_upper_bound_mpps", |s, r| mpps(s, r.relevant_upper_bound.as_ref().map(|b| b.load_pps))),
    ("conditional_throughput_mpps", |s, r| mpps(s, r.conditional_throughput_pps)),
    ("uncertain_from_mpps", |s, r| mpps(s, r.uncertainty_pps().map(|(from, _)| from))),
    ("uncertain_to_mpps", |s, r| mpps(s, r.uncertainty_pps().map(|(_, to)| to))),
    ("regular", |_, r| r.irregular.is_none().to_string()),
    ("sender_limited", |_, r| r.sender_limited.to_string()),
    ("trial_time_s", |s, _| s.trial_time_s.to_string()),
    ("elapsed_s", |s, _| s.elapsed_s.to_string()),
];

/// A load of each sender as the rate of all.
fn mpps(search: &SearchRecord, load_pps: Option<f64>) -> String {
    optional(load_pps.map(|load| search.rates(load).rate_mpps))
}

fn optional(value: Option<impl Display>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn latency<T: Display>(trial: &Trial, figure: fn(&Latency) -> T) -> String {
    optional(trial.latency.as_ref().map(figure))
}

fn load(trial: &Trial, figure: fn(&Load) -> String) -> String {
    optional(trial.load.as_ref().map(figure))
}

fn cost<T: Display>(trial: &Trial, figure: fn(&Cost) -> Option<T>) -> String {
    optional(trial.cost.as_ref().and_then(figure))
}

/// Of the first sender that followed a schedule; the document has them all.
fn pacing<T: Display>(trial: &Trial, figure: fn(&Pacing) -> Option<T>) -> String {
    let mut pacings = trial.ports.iter().filter_map(|port| port.roles.tx.as_ref()?.pacing.as_ref());
    optional(pacings.next().and_then(figure))
}

/// `50%=12400/123000/200000`: the load, and p50, p99 and p99.9 in nanoseconds, from when probes were due.
fn under_load(loaded: &LoadedLatency) -> String {
    let figures = loaded.from_due.as_ref().map(|l| format!("{}/{}/{}", l.p50_ns, l.p99_ns, l.p99_9_ns));
    format!("{}%={}", loaded.percent, figures.unwrap_or_default())
}

/// The rates of the raw windows.
fn windows(trial: &Trial) -> Option<Summary> {
    Summary::of(trial.windows.iter().map(|window| trial.rx_mpps(window)))
}

/// `name=value;name=value`.
fn pairs<V: Display>(map: &BTreeMap<String, V>) -> String {
    map.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(";")
}
