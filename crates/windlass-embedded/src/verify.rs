//! A look at a whole store that changes nothing.

use crate::disk::Disk;
use crate::journal::{self, OpenError, Problem, VerifyReport};
use crate::open::{given_back_in, missing};

/// Reads a store's whole journal and lists all problems, segments that are missing at its front among them; changes
/// nothing. `progress` gets bytes done and bytes to do.
///
/// # Errors
/// Only when the disk fails; everything else is in the report.
pub fn verify(disk: &dyn Disk, progress: &mut dyn FnMut(u64, u64)) -> Result<VerifyReport, OpenError> {
    let mut report = journal::verify(disk, progress)?;
    let mut given_back = None;
    journal::newest(disk, &mut |body| given_back = given_back.max(given_back_in(body)))?;
    if let Some(first) = report.segments.first()
        && let Some(text) = missing(given_back, Some(first.sequence))
    {
        report.problems.push(Problem { file: first.file.clone(), offset: 0, lsn: 0, text });
    }
    Ok(report)
}
