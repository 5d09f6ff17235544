//! How long an import takes without its database: a file of 100,000 rows, or of as many as are asked for.
//!
//! `cargo run --release -p windlass-campaigns --example import_speed -- 1000000`

#![allow(clippy::print_stdout, reason = "an example that tells what it measured")]

use std::{fmt::Write, time::Instant};

use windlass_campaigns::import::{Options, Rows, sniff};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wanted: u32 = std::env::args().nth(1).map_or(Ok(100_000), |rows| rows.parse())?;
    let mut file =
        "First Name,Last Name,Email,Mobile,Company,State,Zip,Time Zone,SMS consent,Plan,Notes\n".to_owned();
    for number in 0..wanted {
        let (area, line) = (201 + number % 9, number % 10_000);
        writeln!(
            file,
            "Ann,Smith,Ann.Smith{number}@Example.com,({area}) 555-{line:04},\"Acme, Inc.\",New York,2134,Eastern,yes,gold,\
             \"called, {number} times\""
        )?;
    }
    let started = Instant::now();
    let preview = sniff(file.as_bytes(), Options::default().home)?;
    let mut rows = Rows::new(file.as_bytes(), preview.format, preview.mapping()?, Options::default())?;
    while rows.next_row()?.is_some() {}
    let (took, counts) = (started.elapsed(), rows.counts());
    let megabytes = counts.bytes as f64 / 1e6;
    println!("{} rows, {megabytes:.1} MB in {:.0} ms: {counts:?}", counts.rows, took.as_secs_f64() * 1e3);
    Ok(())
}
