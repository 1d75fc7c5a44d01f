//! A plot with both axes logarithmic, as SVG: the cost that grows with the number of pods is a straight line.

use anyhow::{Result, anyhow};
use plotters::prelude::*;

const SIZE: (u32, u32) = (880, 520);
/// No background, and colours of middle brightness: readable on a light page and on a dark one.
const INK: RGBColor = RGBColor(128, 128, 128);
const COLOURS: [RGBColor; 4] =
    [RGBColor(46, 134, 222), RGBColor(214, 104, 32), RGBColor(34, 153, 84), RGBColor(176, 82, 190)];
const FONT: &str = "sans-serif";

/// Points that belong together.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) title: &'static str,
    /// Number of pods, and what was measured.
    pub(super) points: Vec<(f64, f64)>,
    /// Whether a line leads through them.
    pub(super) joined: bool,
}

/// Several lines over the number of pods.
#[derive(Clone, Debug)]
pub(super) struct Plot {
    pub(super) title: &'static str,
    pub(super) unit: &'static str,
    pub(super) lines: Vec<Line>,
}

impl Plot {
    /// The text of an SVG file. A line without points is left out.
    pub(super) fn svg(&self) -> Result<String> {
        let mut text = String::new();
        // Drawing ends when the backend is dropped, and with it the text.
        self.draw(SVGBackend::with_string(&mut text, SIZE)).map_err(|error| anyhow!("no plot: {error}"))?;
        Ok(text)
    }

    fn draw<B: DrawingBackend>(&self, backend: B) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let area = backend.into_drawing_area();
        let (pods, values) = (self.range(|point| point.0, 1.6), self.range(|point| point.1, 2.0));
        let text = |size: u32| (FONT, size).into_font().color(&INK);
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, text(20))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(pods.log_scale(), values.log_scale())?;
        chart
            .configure_mesh()
            .axis_style(INK)
            .bold_line_style(INK.mix(0.3))
            .light_line_style(INK.mix(0.1))
            .label_style(text(13))
            .axis_desc_style(text(14))
            .x_desc("pods")
            .y_desc(self.unit)
            .x_label_formatter(&|value| figure(*value))
            .y_label_formatter(&|value| figure(*value))
            .draw()?;
        for (line, colour) in self.lines.iter().zip(COLOURS).filter(|(line, _)| !line.points.is_empty()) {
            let points = || line.points.iter().copied();
            if line.joined {
                chart
                    .draw_series([PathElement::new(points().collect::<Vec<_>>(), colour.stroke_width(2))])?;
            }
            let style: ShapeStyle = if line.joined { colour.filled() } else { colour.stroke_width(2) };
            chart
                .draw_series(points().map(|point| Circle::new(point, 5, style)))?
                .label(line.title)
                .legend(move |(x, y)| Circle::new((x + 8, y), 5, style));
            let label = |point: (f64, f64)| {
                EmptyElement::at(point)
                    + Text::new(figure(point.1), (7, -17), (FONT, 13).into_font().color(&colour))
            };
            chart.draw_series(points().map(label))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .label_font(text(14))
            .draw()?;
        area.present()
    }

    /// From below the least to above the most.
    fn range(&self, of: fn(&(f64, f64)) -> f64, room: f64) -> std::ops::Range<f64> {
        let all = || self.lines.iter().flat_map(|line| &line.points).map(of).filter(|value| *value > 0.0);
        let (least, most) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
        if most == 0.0 { 1.0..10.0 } else { least / room..most * room }
    }
}

/// Three digits, thousands apart.
fn figure(value: f64) -> String {
    if value >= 1000.0 {
        let (thousands, rest) = ((value / 1000.0).floor(), value.round() % 1000.0);
        return format!("{thousands},{rest:03}");
    }
    let digits = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_as_many_digits_as_matter() {
        let figures = [100_000.0, 1_040.0, 380.4, 24.06, 9.5, 0.048, 1000.0].map(figure);
        assert_eq!(figures, ["100,000", "1,040", "380", "24.1", "9.5", "0.05", "1,000"]);
    }
}
