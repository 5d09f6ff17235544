//! What was set when: the values that a setting may have had at a moment, as far as its callers know.
//!
//! A setting takes effect at some moment between its call and its answer. So at a given moment one value is in force for
//! sure, or several may be; before the first answer nobody knows.

use windlass_core::Time;

/// One setting call.
#[derive(Clone, Debug)]
struct Span<T> {
    begun: (u64, Time),
    answered: Option<(u64, Time)>,
    value: T,
}

/// The values of one setting, in the order of their calls.
#[derive(Clone, Debug)]
pub(crate) struct Settings<T> {
    spans: Vec<Span<T>>,
}

impl<T> Default for Settings<T> {
    fn default() -> Self {
        Self { spans: Vec::new() }
    }
}

impl<T: PartialEq> Settings<T> {
    pub(crate) fn begin(&mut self, line: u64, at: Time, value: T) {
        self.spans.push(Span { begun: (line, at), answered: None, value });
    }

    /// The call of that line was answered; a refused one has set nothing.
    pub(crate) fn answer(&mut self, begun: u64, line: u64, at: Time, done: bool) {
        if !done {
            self.spans.retain(|span| span.begun.0 != begun);
        } else if let Some(span) = self.spans.iter_mut().find(|span| span.begun.0 == begun) {
            span.answered = Some((line, at));
        }
        // What another settled value has replaced long ago is forgotten, so that a setting changed for ever stays small.
        if self.spans.len() > 64 && self.spans[..33].iter().all(|span| span.answered.is_some()) {
            self.spans.drain(..32);
        }
    }

    /// Values that may be in force between two lines; none when nobody knows.
    ///
    /// Two calls that overlap may take effect in either order: a value is over only when another call, which began
    /// after its answer, was answered before `from`.
    pub(crate) fn between_lines(&self, from: u64, to: u64) -> Option<Vec<&T>> {
        let settled = self.spans.iter().filter(|span| span.answered.is_some_and(|(line, _)| line < from));
        let newest = settled.map(|span| span.begun.0).max()?;
        let over = |span: &&Span<T>| span.answered.is_some_and(|(line, _)| line < newest);
        Some(
            self.spans
                .iter()
                .filter(|span| !over(span) && span.begun.0 <= to)
                .map(|span| &span.value)
                .collect(),
        )
    }

    /// Values that may be in force at a time of another clock, so far apart at most; none when nobody knows.
    pub(crate) fn at(&self, at: Time, skew_ms: u64) -> Option<Vec<&T>> {
        let before = |time: Time, than: Time| time.plus_ms(skew_ms) < than;
        let settled =
            self.spans.iter().filter(|span| span.answered.is_some_and(|(_, then)| before(then, at)));
        let newest = settled.map(|span| span.begun.1).max()?;
        let over = |span: &&Span<T>| span.answered.is_some_and(|(_, then)| before(then, newest));
        let ahead = |span: &&Span<T>| before(at, span.begun.1);
        Some(self.spans.iter().filter(|s| !over(s) && !ahead(s)).map(|span| &span.value).collect())
    }

    /// The value, if it has been the same since `before`; none when it was set later, or changed.
    pub(crate) fn always(&self, before: u64) -> Option<&T> {
        let first = self.spans.first().filter(|span| span.answered.is_some_and(|(line, _)| line < before))?;
        self.spans.iter().all(|span| span.value == first.value).then_some(&first.value)
    }

    /// Whether it was ever set.
    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }
}
