//! `windlass campaigns import`: contacts from a file onto a list, as the page does it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use futures_util::Stream;
use indicatif::HumanCount;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt};
use windlass_campaigns::app::{App, AppError};
use windlass_campaigns::flow::consents::BASES;
use windlass_campaigns::import::{Format, Mapping, Preview, SNIFF_BYTES, Target, sniff};
use windlass_campaigns::intake::{self, Tried};
use windlass_campaigns::model::import::{Import, ImportPlan, ImportStatus, Known};
use windlass_campaigns::optout::Country;

use crate::fault::{Exit, Fault};
use crate::output::table::{self, Column};
use crate::output::{Form, Output, Row, progress};
use crate::values::moment;

const EXAMPLES: &str = "\
Examples:
  windlass campaigns import people.csv --look                 what its columns seem to mean; nothing is imported
  windlass campaigns import people.csv --list spring
  windlass campaigns import people.csv --list spring --map 'Contact=email' --map '#3=ignore' --errors refused.csv
  zcat people.csv.gz | windlass campaigns import - --list spring --json
";
/// Bytes that are read at once.
const READ_BYTES: usize = 64 * 1024;
/// How often it is looked how far the import is.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Values of a column that are shown.
const SAMPLES: usize = 3;

/// Import contacts from a CSV file onto a list
///
/// What its columns mean is guessed from their headings and what is in them, and said; --map says otherwise. A contact is
/// known by their mailbox, or else by their number. Rows that cannot be read are left out, counted, and kept with the reasons
/// for 30 days: --errors writes them to a file that can be mended and imported again. Exit code 0 also when rows were
/// refused; 1 when the file cannot be read to its end, or Ctrl-C ended it; what was read stands then.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct ImportArgs {
    /// The file; `-` reads stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The list that its contacts are put on; one that there is not is made
    #[arg(long, value_name = "NAME", required_unless_present = "look")]
    list: Option<String>,
    /// What a column means, by its heading or its number; repeatable
    ///
    /// One of email, phone, name, first_name, last_name, company, title, city, state, zip, country, tz, consent.email,
    /// consent.sms, consent.voicemail, tags, field:NAME, ignore.
    #[arg(long = "map", value_name = "HEADING=MEANING")]
    map: Vec<String>,
    /// The country of numbers that do not say theirs, by its two letters; `none` refuses them
    #[arg(long, value_name = "CODE", default_value = "US")]
    country: String,
    /// On which basis those agreed of whom a column says so
    #[arg(long, value_name = "BASIS", default_value = "express", value_parser = BASES)]
    basis: String,
    /// What becomes of contacts who are known: update takes what the file says, fill what is not known yet, keep nothing
    #[arg(long, value_name = "HOW", default_value = "update", value_parser = ["update", "fill", "keep"])]
    known: String,
    /// Show what its columns seem to mean and what becomes of its first rows; import nothing
    #[arg(long, conflicts_with = "errors")]
    look: bool,
    /// Write the rows that were refused there
    #[arg(long, value_name = "PATH")]
    errors: Option<PathBuf>,
}

impl ImportArgs {
    /// Whether it only looks, for which nothing has to be opened but the file.
    pub(crate) fn only_looks(&self) -> bool {
        self.look
    }

    fn name(&self) -> String {
        if self.file == Path::new("-") {
            return "stdin.csv".to_owned();
        }
        self.file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    fn home(&self) -> Result<Option<Country>, Fault> {
        match self.country.as_str() {
            "none" => Ok(None),
            code => Country::try_from(code.to_owned())
                .map(Some)
                .map_err(|why| Fault::usage(format!("--country: {why}"))),
        }
    }

    async fn open(&self) -> Result<Box<dyn AsyncRead + Send + Unpin>, Fault> {
        if self.file == Path::new("-") {
            return Ok(Box::new(tokio::io::stdin()));
        }
        let file = tokio::fs::File::open(&self.file).await;
        let file = file.map_err(|why| Fault::usage(format!("{}: {why}", self.file.display())))?;
        Ok(Box::new(file))
    }

    /// How the file is to be read: what is guessed, and what was said otherwise.
    fn plan(&self, preview: &Preview) -> Result<ImportPlan, Fault> {
        let mut columns = preview.columns.clone();
        for given in &self.map {
            let (heading, meaning) = given.rsplit_once('=').ok_or_else(|| {
                Fault::usage(format!("--map {given:?}: write HEADING=MEANING, as 'E-mail=email'"))
            })?;
            let target: Target =
                meaning.trim().parse().map_err(|why| Fault::usage(format!("--map {given:?}: {why}")))?;
            columns[place_of(heading.trim(), preview)?] = target;
        }
        let mapping =
            Mapping::new(columns).map_err(|why| Fault::usage(format!("{why} (--map HEADING=MEANING)")))?;
        let known = Known::ALL.into_iter().find(|one| one.to_string() == self.known).unwrap_or_default();
        let usual = ImportPlan::new(preview.format, mapping);
        Ok(ImportPlan { home: self.home()?, basis: self.basis.clone(), known, ..usual })
    }
}

/// The column of that heading, or of that number (`#3`), from 0.
fn place_of(heading: &str, preview: &Preview) -> Result<usize, Fault> {
    let headings = &preview.headings;
    let by_name = headings.iter().position(|one| one.eq_ignore_ascii_case(heading));
    let number = heading.strip_prefix('#').and_then(|number| number.parse::<usize>().ok());
    let by_number = number.and_then(|number| number.checked_sub(1)).filter(|at| *at < headings.len());
    by_name.or(by_number).ok_or_else(|| {
        Fault::usage(format!("--map: the file has no column {heading:?}; it has {}", headings.join(", ")))
    })
}

/// A column of a file, and what it means.
#[derive(Serialize)]
struct ColumnShape {
    column: usize,
    heading: String,
    means: String,
    samples: Vec<String>,
}

impl Row for ColumnShape {
    const COLUMNS: &'static [Column] = &[
        table::number("COLUMN"),
        table::cut("HEADING"),
        table::text("MEANS"),
        table::cut("IN ITS FIRST ROWS"),
    ];

    fn cells(&self, _: windlass_core::Time, _: bool) -> Vec<String> {
        let samples = self.samples.join(" | ");
        vec![self.column.to_string(), self.heading.clone(), self.means.clone(), samples]
    }
}

fn shapes(preview: &Preview, means: &[Target]) -> Vec<ColumnShape> {
    let columns = preview.headings.iter().zip(means).enumerate();
    let shape = |(at, (heading, means)): (usize, (&String, &Target))| {
        let cells = preview.rows.iter().filter_map(|row| row.get(at)).filter(|cell| !cell.is_empty());
        ColumnShape {
            column: at + 1,
            heading: heading.clone(),
            means: means.to_string(),
            samples: cells.take(SAMPLES).cloned().collect(),
        }
    };
    columns.map(shape).collect()
}

/// What a look at a file says, as `--json` prints it.
#[derive(Serialize)]
struct LookShape {
    format: Format,
    columns: Vec<ColumnShape>,
    notes: Vec<String>,
    /// Of the first rows, how many become contacts.
    contacts: usize,
    /// And why the others do not.
    refused: Vec<String>,
}

/// Shows what the file seems to be.
pub(super) async fn look(out: &Output, args: &ImportArgs) -> Result<(), Fault> {
    let mut head = Vec::new();
    let mut file = args.open().await?.take(SNIFF_BYTES as u64);
    file.read_to_end(&mut head).await.map_err(Fault::from)?;
    let preview = sniff(&head, args.home()?).map_err(|why| Fault::usage(why.to_string()))?;
    let plan = args.plan(&preview);
    let means = plan.as_ref().map_or(&preview.columns[..], |plan| plan.mapping.columns());
    let columns = shapes(&preview, means);
    let tried = match &plan {
        Ok(plan) => intake::try_rows(&head, plan, moment::now())?,
        Err(_) => Vec::new(),
    };
    let refused: Vec<String> = tried
        .iter()
        .filter_map(|one| match one {
            Tried::Refused(error) => Some(error.to_string()),
            Tried::Contact(..) => None,
        })
        .collect();
    let (all, contacts) = (tried.len(), tried.len() - refused.len());
    if out.form == Form::Json {
        let notes = preview.notes.clone();
        out.json(&LookShape { format: preview.format, columns, notes, contacts, refused })?;
    } else {
        out.list(&columns)?;
        preview.notes.iter().for_each(|note| out.say(note));
        if all > 0 {
            out.say(&format!("of the first {all} rows, {contacts} become contacts"));
        }
        refused.iter().for_each(|why| out.say(why));
    }
    plan.map(drop)
}

/// Imports the file, and stays until that is done.
pub(super) async fn import(
    app: &App,
    out: &Output,
    args: &ImportArgs,
    who: &str,
    ended: impl Future<Output = ()>,
) -> Result<(), Fault> {
    let home = args.home()?;
    let list = args.list.as_deref().unwrap_or_default();
    let id = intake::receive(app, &args.name(), who, pieces(args.open().await?)).await?;
    let begun = async {
        let preview = intake::look_at(app, id, home).await?;
        let plan = args.plan(&preview)?;
        let means = preview.headings.iter().zip(plan.mapping.columns());
        let means: Vec<String> = means.map(|(heading, target)| format!("{heading} → {target}")).collect();
        out.hint(&format!("columns: {}", means.join(", ")));
        preview.notes.iter().for_each(|note| out.say(note));
        Ok::<_, Fault>(intake::begin(app, id, plan, list, who).await?)
    };
    let begun = match begun.await {
        Ok(begun) => begun,
        Err(fault) => {
            intake::refuse(app, id, &fault.to_string(), who).await?;
            return Err(fault);
        }
    };
    let over = watched(app, out, &begun, who, ended).await?;
    if let Some(path) = &args.errors {
        let errors = intake::errors(app, id).await?;
        tokio::fs::write(path, errors)
            .await
            .map_err(|why| Fault::failed(format!("{}: {why}", path.display())))?;
    }
    told(out, &over, args.errors.is_some())
}

fn pieces(
    file: Box<dyn AsyncRead + Send + Unpin>,
) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send {
    futures_util::stream::try_unfold(file, |mut file| async move {
        let mut piece = Vec::with_capacity(READ_BYTES);
        let read = (&mut file).take(READ_BYTES as u64).read_to_end(&mut piece).await?;
        Ok((read > 0).then(|| (Bytes::from(piece), file)))
    })
}

async fn watched(
    app: &App,
    out: &Output,
    import: &Import,
    who: &str,
    ended: impl Future<Output = ()>,
) -> Result<Import, Fault> {
    let bar = progress::bytes(out, "importing", Some(import.bytes));
    let mut ended = std::pin::pin!(ended);
    let over = loop {
        let import = intake::look(app, import.id).await?;
        bar.set_position(import.progress.bytes_done);
        if import.status.is_over() {
            break import;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = &mut ended => match intake::cancel(app, import.id, who).await {
                // It was done at this moment.
                Ok(()) | Err(AppError::Conflict(_)) => break intake::look(app, import.id).await?,
                Err(error) => return Err(error.into()),
            },
        }
    };
    bar.finish_and_clear();
    Ok(over)
}

/// Says what came of it.
fn told(out: &Output, import: &Import, has_file: bool) -> Result<(), Fault> {
    let progress = &import.progress;
    let count = |rows: u64| HumanCount(rows).to_string();
    let sentence = format!(
        "import {} ({}): {} rows, {} new, {} known, {} twice in the file, {} refused",
        import.id,
        import.name,
        count(progress.rows),
        count(progress.added),
        count(progress.updated),
        count(progress.duplicates),
        count(progress.refused),
    );
    let fields = [
        import.id.to_string(),
        import.status.to_string(),
        progress.rows.to_string(),
        progress.added.to_string(),
        progress.updated.to_string(),
        progress.duplicates.to_string(),
        progress.refused.to_string(),
    ];
    out.done(import, &sentence, &fields.each_ref().map(String::as_str))?;
    let named = |(code, rows): (&str, u64)| format!("{rows} {code}");
    for (what, codes) in [
        ("why rows are no contacts", progress.faults().map(named).collect::<Vec<_>>()),
        ("contacts that are kept without their number", progress.without_number().map(named).collect()),
    ] {
        if !codes.is_empty() {
            out.hint(&format!("{what}: {}", codes.join(", ")));
        }
    }
    if progress.in_file() > 0 && !has_file {
        out.hint(
            "the rows with the reasons: give --errors FILE next time, or look at the page of the import",
        );
    }
    match import.status {
        ImportStatus::Done => Ok(()),
        ImportStatus::Cancelled => {
            Err(Fault::new(Exit::Failed, "cancelled", "it was ended; what was read stands"))
        }
        _ => Err(Fault::new(Exit::Failed, "import_failed", import.why.clone())),
    }
}
