//! How long an import of 100,000 contacts takes, or of as many as are asked for: without a database, or into one.
//!
//! `cargo run --release -p windlass-campaigns --example import_speed -- 1000000 sqlite:/tmp/contacts.db`

#![allow(clippy::print_stdout, reason = "an example that tells what it measured")]

use std::{convert::Infallible, fmt::Write, time::Instant};

use bytes::Bytes;
use futures_util::stream;
use windlass_campaigns::{
    app::{self, App},
    db::Db,
    import::{Options, Preview, Rows, sniff},
    intake,
    model::import::{ImportPlan, ImportStatus},
};

/// Bytes that come over a wire at once.
const PIECE_BYTES: usize = 16 * 1024;
/// How often the import is looked at.
const LOOK: std::time::Duration = std::time::Duration::from_millis(20);

fn file_of(rows: u32) -> Result<String, std::fmt::Error> {
    let mut file =
        "First Name,Last Name,Email,Mobile,Company,State,Zip,Time Zone,SMS consent,Plan,Notes\n".to_owned();
    for number in 0..rows {
        let (area, line) = (201 + number % 9, 2_000_000 + number % 8_000_000);
        writeln!(
            file,
            "Ann,Smith,Ann.Smith{number}@Example.com,+1{area}{line:07},\"Acme, Inc.\",New York,2134,Eastern,yes,gold,\
             \"called, {number} times\""
        )?;
    }
    Ok(file)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut given = std::env::args().skip(1);
    let file = file_of(given.next().map_or(Ok(100_000), |rows| rows.parse())?)?;
    let preview = sniff(file.as_bytes(), Options::default().home)?;
    match given.next() {
        None => read(&file, &preview),
        Some(database) => import(file, preview, &database).await,
    }
}

fn read(file: &str, preview: &Preview) -> Result<(), Box<dyn std::error::Error>> {
    let started = Instant::now();
    let mut rows = Rows::new(file.as_bytes(), preview.format, preview.mapping()?, Options::default())?;
    while rows.next_row()?.is_some() {}
    let (took, counts) = (started.elapsed(), rows.counts());
    let megabytes = counts.bytes as f64 / 1e6;
    println!("{} rows, {megabytes:.1} MB in {:.0} ms: {counts:?}", counts.rows, took.as_secs_f64() * 1e3);
    Ok(())
}

async fn import(file: String, preview: Preview, database: &str) -> Result<(), Box<dyn std::error::Error>> {
    let client = windlass::open("memory:").await?;
    let app = App::open(Db::open(database).await?, client, app::Options::default()).await?;
    for time in ["at first", "again"] {
        let started = Instant::now();
        let wire = stream::iter(file.as_bytes().chunks(PIECE_BYTES).map(Bytes::copy_from_slice).map(Ok));
        let id = intake::receive::<Infallible>(&app, "people.csv", "import_speed", wire).await?;
        let brought = started.elapsed().as_secs_f64();
        let plan = ImportPlan::new(preview.format, preview.mapping()?);
        intake::begin(&app, id, plan, "everybody", "import_speed").await?;
        let import = loop {
            let import = intake::look(&app, id).await?;
            if import.status != ImportStatus::Running {
                break import;
            }
            tokio::time::sleep(LOOK).await;
        };
        println!(
            "{time}: {:.2} s, {brought:.2} s of them until the file was here: {:?} {:?}",
            started.elapsed().as_secs_f64(),
            import.status,
            import.progress
        );
    }
    Ok(())
}
