//! Progress of long work: a bar on a terminal, silence everywhere else.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Form, Output};

/// How often a bar is drawn: smooth for an eye, nothing for a processor.
const DRAWS_PER_SECOND: u8 = 10;

/// A bar that counts up to `total`, or a counter when the total is not known.
pub(crate) fn bar(out: &Output, what: &'static str, total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => "{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}",
        None => "{msg} {human_pos} {per_sec} {elapsed}",
    };
    drawn(out, what, total, template)
}

/// The same for a file, whose length is known in bytes.
pub(crate) fn bytes(out: &Output, what: &'static str, total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => "{msg} {wide_bar} {bytes}/{total_bytes} {eta}",
        None => "{msg} {bytes} {elapsed}",
    };
    drawn(out, what, total, template)
}

fn drawn(out: &Output, what: &'static str, total: Option<u64>, template: &str) -> ProgressBar {
    if out.quiet || out.form == Form::Json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = match total {
        Some(total) => ProgressBar::new(total),
        None => ProgressBar::no_length(),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND));
    // A template that does not parse would be a mistake in the lines above; the default bar is good enough then.
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(what);
    bar
}
