//! A question before something that cannot be taken back.

use std::io::{BufRead, Write};

use super::{Output, escape};
use crate::fault::{Exit, Fault};

/// Asks for the name of what is to go, so that nobody says yes to something else.
///
/// # Errors
/// With exit code 4 unless the answer is that name.
pub(crate) fn confirm_name(out: &Output, question: &str, name: &str, advice: &str) -> Result<(), Fault> {
    let answer = answer(out, question, &format!("Type {name} to go on: "), advice)?;
    if answer.trim() == name { Ok(()) } else { Err(refused("nothing was changed".to_owned())) }
}

/// Asks on a terminal; elsewhere the answer has to be on the command line, and `advice` says how.
///
/// # Errors
/// With exit code 4 unless the answer is yes.
pub(crate) fn confirm(out: &Output, question: &str, advice: &str) -> Result<(), Fault> {
    match answer(out, question, "[y/N] ", advice)?.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(refused("nothing was changed".to_owned())),
    }
}

fn answer(out: &Output, question: &str, wanted: &str, advice: &str) -> Result<String, Fault> {
    if !out.can_ask() {
        return Err(refused(format!("{question} There is nobody to ask here")).next(advice));
    }
    let mut err = std::io::stderr().lock();
    write!(err, "{} {}", escape::line(question), escape::line(wanted)).and_then(|()| err.flush())?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(answer)
}

fn refused(message: String) -> Fault {
    Fault::new(Exit::Refused, "not_confirmed", message)
}
