//! Colours and marks: told apart by readers who see few colours, on white, on black and on paper.

use std::fmt::Write;

use super::px;

/// How many colours there are before they come again; the shapes of marks go on.
const COLOURS: usize = 6;

/// Colours of a plot.
#[derive(Debug, Clone, Copy)]
pub(in crate::report) struct Colours {
    /// Behind everything.
    pub(in crate::report) paper: &'static str,
    /// Text.
    pub(in crate::report) ink: &'static str,
    /// Text that may be overlooked.
    pub(in crate::report) mute: &'static str,
    /// Lines that guide the eye.
    pub(in crate::report) grid: &'static str,
    /// What must not be overlooked.
    pub(in crate::report) caution: &'static str,
    /// The competitors, after Okabe and Ito's palette, darkened or lightened to at least 3:1 against the paper
    /// (WCAG 2.2, 1.4.11).
    pub(in crate::report) arms: [&'static str; COLOURS],
}

/// On white.
pub(in crate::report) const LIGHT: Colours = Colours {
    paper: "#ffffff",
    ink: "#1b1f24",
    mute: "#57606a",
    grid: "#e3e6ea",
    caution: "#8a4600",
    arms: ["#0072b2", "#d55e00", "#00835c", "#a8568a", "#8f6400", "#4d4d4d"],
};

/// On near black.
pub(in crate::report) const DARK: Colours = Colours {
    paper: "#14171c",
    ink: "#e8eaed",
    mute: "#a3abb5",
    grid: "#2b3038",
    caution: "#ffb86b",
    arms: ["#56b4e9", "#ff8a4c", "#35c79a", "#e29ac8", "#e8c547", "#c8ccd2"],
};

/// Whatever the page's variables say.
pub(in crate::report) const PAGE: Colours = Colours {
    paper: "var(--paper)",
    ink: "var(--ink)",
    mute: "var(--mute)",
    grid: "var(--grid)",
    caution: "var(--caution)",
    arms: ["var(--arm0)", "var(--arm1)", "var(--arm2)", "var(--arm3)", "var(--arm4)", "var(--arm5)"],
};

/// The style sheet of plots in these colours.
pub(in crate::report) fn sheet(colours: &Colours) -> String {
    let Colours { paper, ink, mute, grid, caution, arms } = colours;
    let mut sheet = format!(
        "text{{font-family:system-ui,'Segoe UI',Roboto,'Helvetica Neue',Arial,'Liberation Sans','DejaVu Sans',\
         sans-serif;font-size:12px;fill:{ink}}}\
         .paper{{fill:{paper}}}.heading{{font-size:14px;font-weight:600}}.mute{{fill:{mute}}}\
         .caution{{fill:{caution};font-weight:600}}.group{{font-size:13px;font-weight:600}}\
         .halo{{stroke:{paper};stroke-width:4px;stroke-linejoin:round;paint-order:stroke}}\
         .grid{{stroke:{grid};stroke-width:1px;fill:none}}.base{{stroke:{mute};stroke-width:1px;fill:none}}\
         .line{{stroke:currentColor;stroke-width:2px;stroke-linejoin:round;fill:none}}\
         .dashed{{stroke-dasharray:5 4}}\
         .thin{{stroke:currentColor;stroke-width:1px;stroke-linejoin:round;fill:none;stroke-opacity:0.35}}\
         .alone{{stroke-width:1.4px;stroke-opacity:0.7}}\
         .dot{{fill:{paper};fill-opacity:0.7;stroke:currentColor;stroke-width:1.2px}}\
         .mark{{fill:currentColor;stroke:{paper};stroke-width:1.5px}}\
         .bar{{fill:currentColor;fill-opacity:0.8}}.median{{stroke:currentColor;stroke-width:3px}}"
    );
    for (index, colour) in arms.iter().enumerate() {
        let _ = write!(sheet, ".a{index}{{color:{colour}}}");
    }
    sheet
}

/// The class that gives an arm its colour.
pub(in crate::report) fn class(arm: usize) -> String {
    format!("a{}", arm % COLOURS)
}

/// The outline of an arm's mark around a point.
pub(in crate::report) fn symbol(arm: usize, x: f64, y: f64, r: f64) -> String {
    let polygon = |corners: &[(f64, f64)]| {
        let points: Vec<String> =
            corners.iter().map(|(dx, dy)| format!("{},{}", px(x + dx * r), px(y + dy * r))).collect();
        format!("M{}Z", points.join("L"))
    };
    match arm % 7 {
        0 => {
            let (left, y, r, d) = (px(x - r), px(y), px(r), px(2.0 * r));
            format!("M{left},{y}a{r},{r} 0 1 0 {d},0a{r},{r} 0 1 0 -{d},0Z")
        }
        1 => polygon(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
        2 => polygon(&[(0.0, -1.2), (1.15, 0.85), (-1.15, 0.85)]),
        3 => polygon(&[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)]),
        4 => polygon(&[(0.0, 1.2), (1.15, -0.85), (-1.15, -0.85)]),
        5 => polygon(&[
            (-0.45, -1.2),
            (0.45, -1.2),
            (0.45, -0.45),
            (1.2, -0.45),
            (1.2, 0.45),
            (0.45, 0.45),
            (0.45, 1.2),
            (-0.45, 1.2),
            (-0.45, 0.45),
            (-1.2, 0.45),
            (-1.2, -0.45),
            (-0.45, -0.45),
        ]),
        _ => polygon(&[(-0.6, -1.1), (0.6, -1.1), (1.2, 0.0), (0.6, 1.1), (-0.6, 1.1), (-1.2, 0.0)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance of `#rrggbb` (WCAG 2.2).
    fn luminance(colour: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    fn contrast(a: &str, b: &str) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_and_marks_stand_out_on_both_papers() {
        for colours in [LIGHT, DARK] {
            for text in [colours.ink, colours.mute, colours.caution] {
                assert!(contrast(text, colours.paper) >= 4.5, "{text} on {}", colours.paper);
            }
            for arm in colours.arms {
                assert!(contrast(arm, colours.paper) >= 3.0, "{arm} on {}", colours.paper);
            }
        }
    }

    #[test]
    fn competitors_differ_in_colour_or_shape_for_long() {
        let look = |arm| (class(arm), symbol(arm, 0.0, 0.0, 5.0));
        assert!((1..42).all(|arm| (0..arm).all(|other| look(arm) != look(other))));
    }
}
