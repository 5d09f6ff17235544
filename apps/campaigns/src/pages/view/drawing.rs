//! Small drawings: bars of shares, and bars of days. They are SVG with attributes, since pages allow no styles.

/// Units of a drawing's width.
const WIDTH: u64 = 1_000;
/// Units of a drawing's height.
const HEIGHT: u64 = 100;

/// A part of a bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// What it is a part of: the word of its colour.
    pub word: &'static str,
    /// Where it begins, of 1,000.
    pub x: u64,
    /// How long it is.
    pub width: u64,
}

/// The narrowest part, which is still seen on a screen.
const NARROWEST: u64 = 4;

/// A bar of a few parts of a whole, in their order. What is not nothing is seen, however little it is; together they are
/// never longer than the bar.
pub(super) fn segments(whole: u64, parts: &[(&'static str, u64)]) -> Vec<Segment> {
    let whole = parts.iter().map(|(_, n)| n).sum::<u64>().max(whole).max(1);
    let parts: Vec<_> = parts.iter().filter(|(_, n)| *n > 0).collect();
    let (mut x, mut sum) = (0, 0_u64);
    let mut all = Vec::new();
    for (place, (word, n)) in parts.iter().enumerate() {
        sum += n;
        let exact = u64::try_from(u128::from(sum) * u128::from(WIDTH) / u128::from(whole)).unwrap_or(WIDTH);
        let room = NARROWEST * (parts.len() - place - 1) as u64;
        let to = exact.max(x + NARROWEST).min(WIDTH.saturating_sub(room)).max(x);
        all.push(Segment { word, x, width: to - x });
        x = to;
    }
    all
}

/// Bars side by side, one for each day: a curve of caps, or a forecast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bars {
    /// The path of all bars but the one that is marked.
    pub path: String,
    /// The path of the marked one.
    pub marked: String,
    /// What stands at the height of the drawing.
    pub most: u64,
}

impl Bars {
    /// One bar for each number; the one at that place is marked.
    pub fn of(numbers: &[u64], marked: Option<usize>) -> Self {
        let most = numbers.iter().copied().max().unwrap_or(0);
        let step = WIDTH / (numbers.len().max(1) as u64);
        let (mut path, mut mark) = (String::new(), String::new());
        for (place, n) in numbers.iter().enumerate().filter(|(_, n)| **n > 0) {
            let height =
                u64::try_from(u128::from(*n) * u128::from(HEIGHT) / u128::from(most)).unwrap_or(HEIGHT);
            let (x, width) = (place as u64 * step, (step * 4 / 5).max(1));
            let bar = format!("M{x} {HEIGHT}h{width}v-{height}h-{width}z", height = height.max(1));
            if marked == Some(place) { &mut mark } else { &mut path }.push_str(&bar);
        }
        Self { path, marked: mark, most }
    }

    /// Whether there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        self.most == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_fill_their_bar_and_none_that_is_something_vanishes() {
        let bar =
            segments(100_000, &[("delivered", 50_000), ("failed", 1), ("skipped", 0), ("waiting", 49_999)]);
        let words: Vec<_> = bar.iter().map(|part| part.word).collect();
        assert_eq!(words, ["delivered", "failed", "waiting"]);
        assert!(
            bar.iter().all(|part| part.width > 0) && bar.iter().map(|part| part.width).sum::<u64>() <= WIDTH
        );
        assert!(bar.windows(2).all(|two| two[0].x + two[0].width == two[1].x));
        assert_eq!(segments(0, &[("waiting", 0)]), []);
        let nearly = segments(1, &[("sent", u64::MAX / 2), ("skipped", 1), ("failed", 1)]);
        assert_eq!(nearly.iter().map(|part| part.width).collect::<Vec<_>>(), [992, 4, 4]);
    }

    #[test]
    fn a_bar_is_as_high_as_its_number_and_one_of_them_is_marked() {
        let bars = Bars::of(&[20, 0, 40], Some(2));
        assert_eq!(bars.path, "M0 100h266v-50h-266z");
        assert_eq!((bars.marked.as_str(), bars.most), ("M666 100h266v-100h-266z", 40));
        assert!(Bars::of(&[], None).is_empty() && Bars::of(&[0, 0], None).is_empty());
    }
}
