//! A question before something that cannot be taken back.

use std::io::{BufRead, Write};

use super::{Output, escape};
use crate::fault::{Exit, Fault};

/// Asks on a terminal; elsewhere the answer has to be on the command line, and `advice` says how.
///
/// # Errors
/// With exit code 4 unless the answer is yes.
pub(crate) fn confirm(out: &Output, question: &str, advice: &str) -> Result<(), Fault> {
    let refused = |message: String| Fault::new(Exit::Refused, "not_confirmed", message);
    if !out.can_ask() {
        return Err(refused(format!("{question} There is nobody to ask here")).next(advice));
    }
    let mut err = std::io::stderr().lock();
    write!(err, "{} [y/N] ", escape::line(question)).and_then(|()| err.flush())?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(refused("nothing was changed".to_owned())),
    }
}
