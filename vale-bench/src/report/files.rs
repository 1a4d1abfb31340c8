//! Figures as files of their own, for a paper or a talk: SVG, and PNG drawn from it.

use std::sync::Arc;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{self, fontdb};

use super::ReportError;
use super::exhibits::{self, Chart, Exhibit};
use super::export::Selection;
use super::html::TCG_CAUTION;
use super::kept::Kept;
use super::plot::{Frame, LIGHT, Room, sheet};
use super::study::Study;

/// Pixels of a PNG for each of the SVG: 300 to the inch where a plot is 18 cm wide.
const PNG_SCALE: f32 = 3.0;

/// Typefaces to take for letters without serifs, the first that is there.
const TYPEFACES: [&str; 7] =
    ["Inter", "Helvetica Neue", "Arial", "Liberation Sans", "Roboto", "Noto Sans", "DejaVu Sans"];

/// A plot by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawing {
    /// Its name, good for a file.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// The SVG document.
    pub svg: String,
}

/// Every plot that is wanted of `results`, with its titles and its style inside.
pub fn drawings(results: &[Kept], selection: &Selection) -> Result<Vec<Drawing>, ReportError> {
    let study = Study::new(results);
    let exhibits = selection.of(exhibits::all(&study))?;
    let plots =
        exhibits.iter().flat_map(|exhibit| exhibit.charts.iter().map(move |chart| drawing(exhibit, chart)));
    Ok(plots.collect())
}

fn drawing(exhibit: &Exhibit, chart: &Chart) -> Drawing {
    let parts = [&exhibit.place, &chart.title];
    let below: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).map(String::as_str).collect();
    let mut heading = vec![exhibit.title.clone()];
    if !below.is_empty() {
        heading.push(below.join(", "));
    }
    let frame = Frame {
        id: chart.id.clone(),
        caution: exhibit.tcg.then(|| TCG_CAUTION.to_owned()),
        description: chart.description.clone(),
        sheet: Some(sheet(&LIGHT)),
        heading,
    };
    let room = if exhibit.charts.len() > 1 { Room::Half } else { Room::Wide };
    let svg = format!("{}\n", chart.plot.draw(&frame, room).into_string());
    Drawing { name: chart.id.clone(), title: frame.heading.join(": "), svg }
}

/// Turns drawings into PNG.
pub struct Painter {
    options: usvg::Options<'static>,
}

impl Painter {
    /// Looks for the typefaces of this host; without any there would be plots without words.
    pub fn new() -> Result<Painter, ReportError> {
        let mut faces = fontdb::Database::new();
        faces.load_system_fonts();
        let has =
            |name: &&str| faces.faces().any(|face| face.families.iter().any(|(family, _)| family == name));
        let first = || faces.faces().next().and_then(|face| Some(face.families.first()?.0.clone()));
        let chosen = TYPEFACES.iter().find(|name| has(name)).map(|name| (*name).to_owned()).or_else(first);
        let family = chosen.ok_or(ReportError::NoTypeface)?;
        faces.set_sans_serif_family(&family);
        let options =
            usvg::Options { font_family: family, fontdb: Arc::new(faces), ..usvg::Options::default() };
        Ok(Painter { options })
    }

    /// The drawing as a PNG file.
    pub fn paint(&self, drawing: &Drawing) -> Result<Vec<u8>, ReportError> {
        let fail = |why: String| ReportError::Paint { name: drawing.name.clone(), why };
        let tree = usvg::Tree::from_str(&drawing.svg, &self.options).map_err(|e| fail(e.to_string()))?;
        let size =
            tree.size().to_int_size().scale_by(PNG_SCALE).ok_or_else(|| fail("it has no size".into()))?;
        let mut pixels =
            Pixmap::new(size.width(), size.height()).ok_or_else(|| fail("it has no size".into()))?;
        resvg::render(&tree, Transform::from_scale(PNG_SCALE, PNG_SCALE), &mut pixels.as_mut());
        pixels.encode_png().map_err(|e| fail(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::{document, trial};

    #[test]
    fn drawings_are_whole_xml_whatever_things_are_called() {
        let harm = "</text></svg><script>&\u{1}\u{7f}\"'";
        let trials = [64, 1518].into_iter().flat_map(|size| {
            [harm, "a-very-long-name-".repeat(30).as_str()].map(|name| {
                let mut trial = trial(name, size, 1, 1000, 100);
                trial.scenario = harm.into();
                trial.windows.push(trial.windows[0].clone());
                trial
            })
        });
        let results = Kept::name_all([(harm.into(), document(&[harm], trials.collect()))]);
        let drawings = drawings(&results, &Selection::default()).unwrap();
        assert!(drawings.len() >= 6, "{drawings:?}");
        for drawing in drawings {
            let tree = usvg::Tree::from_str(&drawing.svg, &usvg::Options::default());
            let tree = tree.unwrap_or_else(|error| panic!("{error}: {}", drawing.svg));
            assert!(tree.size().width() > 300.0 && !drawing.svg.contains("<script"), "{}", drawing.svg);
            assert!(
                drawing.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b)),
                "{drawing:?}"
            );
        }
    }
}
