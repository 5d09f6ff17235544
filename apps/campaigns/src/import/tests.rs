use std::io::{self, Cursor, Read};

use proptest::prelude::*;

use super::*;
use crate::{channel::Channel, optout::Country};

fn looked(file: &[u8]) -> Preview {
    sniff(file, Some(Country::US)).unwrap()
}

/// Reads a file as an import does whose proposed mapping nobody changes.
fn rows(file: &[u8]) -> Rows<Cursor<Vec<u8>>> {
    let preview = looked(file);
    let mapping = preview.mapping().unwrap();
    Rows::new(Cursor::new(file.to_vec()), preview.format, mapping, Options::default()).unwrap()
}

fn read(file: impl AsRef<[u8]>) -> (Vec<ImportedContact>, Vec<RowError>) {
    let (mut contacts, mut errors) = (Vec::new(), Vec::new());
    for row in rows(file.as_ref()) {
        match row.unwrap() {
            Ok(contact) => contacts.push(contact),
            Err(error) => errors.push(error),
        }
    }
    (contacts, errors)
}

fn places(errors: &[RowError]) -> Vec<(u64, &'static str)> {
    errors.iter().map(|error| (error.line, error.code.name())).collect()
}

fn emails(contacts: &[ImportedContact]) -> Vec<&str> {
    contacts.iter().filter_map(|contact| contact.email.as_ref()).map(|email| email.as_str()).collect()
}

fn words(columns: &[Target]) -> Vec<String> {
    columns.iter().map(ToString::to_string).collect()
}

#[test]
fn a_row_becomes_a_contact_with_all_that_its_columns_say() {
    let file = "First Name,Last Name,E-mail,Work Phone,Mobile Phone,Company,State/Region,Zip Code,Country,Time Zone,\
        SMS Opt-In,Email consent,Tags,Plan Type,Notes\n\
        Ann,Smith,Ann@EXAMPLE.com,(415) 555-0199,415-555-0100,Acme,new york,2134,USA,Eastern,yes,2026-03-01,\
        \"vip; 2026 ,vip\",gold,\"two\nlines\"\n";
    let preview = looked(file.as_bytes());
    assert_eq!(
        words(&preview.columns),
        [
            "first_name",
            "last_name",
            "email",
            "field:work_phone",
            "phone",
            "company",
            "state",
            "zip",
            "country",
            "tz",
            "consent.sms",
            "consent.email",
            "tags",
            "field:plan_type",
            "field:notes"
        ]
    );
    assert_eq!(preview.notes, [""; 0]);
    let (contacts, errors) = read(file);
    assert_eq!(errors, []);
    let [ann] = &contacts[..] else { panic!("{contacts:?}") };
    assert_eq!((ann.line, emails(&contacts)), (2, vec!["Ann@example.com"]));
    assert_eq!(ann.phone.as_ref().map(|phone| phone.as_str()), Some("+14155550100"));
    assert_eq!(
        (ann.first_name.as_deref(), ann.last_name.as_deref(), ann.name.as_deref()),
        (Some("Ann"), Some("Smith"), None)
    );
    assert_eq!((ann.state.as_deref(), ann.zip.as_deref()), (Some("NY"), Some("02134")));
    assert_eq!((ann.country.as_deref(), ann.time_zone.as_deref()), (Some("US"), Some("America/New_York")));
    assert_eq!(
        ann.consent,
        [
            Consent { channel: Channel::Sms, given: true, proof: "yes".into() },
            Consent { channel: Channel::Email, given: true, proof: "2026-03-01".into() },
        ]
    );
    assert_eq!(ann.tags, ["2026", "vip"]);
    assert_eq!(ann.fields["plan_type"], "gold");
    assert_eq!(ann.fields["notes"], "two\nlines");
    assert_eq!(ann.fields["work_phone"], "(415) 555-0199");
}

#[test]
fn each_bad_row_is_told_with_its_line_and_column_and_none_is_lost() {
    let mut file = b"name,email,phone,tz,consent.sms,note\n\
        Ann,ann@example.com,+14155550100,,,a\n\
        Nobody,,,,,b\n\
        Bad,not-an-address,+14155550102,,,c\n\
        \n\
        ,,,,,\n\
        Short,short@example.com\n\
        Local,local@example.com,555-0103,,,d\n\
        Many,many@example.com,+14155550104,,,e,f,g\n\
        Twin,ANN@example.com,+14155550105,,,h\n\
        \"Multi\",multi@example.com,+14155550106,,,\"two\nlines, \"\"quoted\"\"\"\n\
        Trailing,trailing@example.com,+14155550107,,,j,,,\n\
        Zone,zone@example.com,,MST,,\n\
        Sure,sure@example.com,,,perhaps,\n\
        \"Line\nbreak\",line@example.com,,,,\n\
        Nul,nul\0@example.com,,,,\n\
        Jos\xef\xbf\xbd,jose@example.com,,,,\n\
        After,\"after@example.com\"x,,,,\n\
        Raw,raw@example.com,,,,\xff\xfe\n"
        .to_vec();
    file.extend_from_slice(b"Last,last@example.com,0014155550108,Pacific,no,k");
    let format = Format { encoding: Encoding::Utf8, separator: Separator::Comma, header: true };
    let columns =
        ["name", "email", "phone", "tz", "consent.sms", "field:note"].map(|word| word.parse().unwrap());
    let mapping = Mapping::new(columns.to_vec()).unwrap();
    let mut rows = Rows::new(Cursor::new(file.clone()), format, mapping, Options::default()).unwrap();
    let (mut contacts, mut errors) = (Vec::new(), Vec::new());
    for row in &mut rows {
        match row.unwrap() {
            Ok(contact) => contacts.push(contact),
            Err(error) => errors.push(error),
        }
    }
    let found = emails(&contacts);
    assert_eq!(
        found,
        [
            "ann@example.com",
            "short@example.com",
            "multi@example.com",
            "trailing@example.com",
            "last@example.com"
        ]
    );
    assert_eq!(contacts[2].fields["note"], "two\nlines, \"quoted\"");
    assert_eq!(
        places(&errors),
        [
            (3, "no_address"),
            (4, "bad_email"),
            (8, "bad_phone"),
            (9, "wrong_width"),
            (10, "duplicate"),
            (14, "bad_time_zone"),
            (15, "bad_consent"),
            (16, "line_break"),
            (18, "control_character"),
            (19, "damaged_text"),
            (20, "after_quote"),
            (21, "wrong_encoding"),
        ]
    );
    assert_eq!(errors[1].to_string(), "line 4, email \"not-an-address\": there is no @");
    assert_eq!(errors[4].why, "ANN@example.com stands in line 2 already");
    assert_eq!(errors[3].cells, ["Many", "many@example.com", "+14155550104", "", "", "e", "f", "g"]);
    let counts = rows.counts();
    assert_eq!((counts.rows, counts.contacts, counts.duplicates, counts.failed), (17, 5, 1, 11));
    assert_eq!(counts.bytes, file.len() as u64);
    assert_eq!(counts.by_code[&RowCode::BadEmail], 1);
}

#[test]
fn a_file_is_read_in_every_writing_that_spreadsheets_have() {
    let text =
        "Name;E-Mail;Téléphone\r\nJosé “Pepe”;jose@example.com;+14155550100\r\nZoë;zoe@example.com;\r\n";
    let utf16 = |mark: &[u8], bytes: fn(u16) -> [u8; 2]| {
        let body: Vec<u8> = text.encode_utf16().flat_map(bytes).collect();
        [mark, &body].concat()
    };
    let western: Vec<u8> = text
        .chars()
        .map(|c| match c {
            '“' => 0x93,
            '”' => 0x94,
            c => u8::try_from(u32::from(c)).unwrap(),
        })
        .collect();
    for (file, encoding) in [
        (text.as_bytes().to_vec(), Encoding::Utf8),
        (["\u{feff}", text].concat().into_bytes(), Encoding::Utf8),
        (["sep=;\r\n", text].concat().into_bytes(), Encoding::Utf8),
        (text.replace("\r\n", "\r").into_bytes(), Encoding::Utf8),
        (text.replace("\r\n", "\n").into_bytes(), Encoding::Utf8),
        (text.replace(';', "\t").into_bytes(), Encoding::Utf8),
        (text.replace(';', "|").into_bytes(), Encoding::Utf8),
        (text.replace(';', ",").into_bytes(), Encoding::Utf8),
        (utf16(b"\xFF\xFE", u16::to_le_bytes), Encoding::Utf16Le),
        (utf16(b"\xFE\xFF", u16::to_be_bytes), Encoding::Utf16Be),
        (utf16(b"", u16::to_le_bytes), Encoding::Utf16Le),
        (western, Encoding::Windows1252),
    ] {
        let preview = looked(&file);
        assert_eq!((preview.format.encoding, preview.format.header), (encoding, true), "{preview:?}");
        assert_eq!(preview.headings[2], "Téléphone");
        let (contacts, errors) = read(&file);
        assert_eq!(errors, [], "{preview:?}");
        assert_eq!(emails(&contacts), ["jose@example.com", "zoe@example.com"]);
        assert_eq!(contacts[0].name.as_deref(), Some("José “Pepe”"));
    }
}

#[test]
fn a_file_without_headings_is_told_by_what_is_in_it() {
    let file = "17,ann@example.com,(415) 555-0100\n18,bob@example.com,\n";
    let preview = looked(file.as_bytes());
    assert!(!preview.format.header && !preview.notes.is_empty());
    assert_eq!(preview.headings, ["Column 1", "Column 2", "Column 3"]);
    assert_eq!(words(&preview.columns), ["ignore", "email", "phone"]);
    let (contacts, errors) = read(file);
    assert_eq!((emails(&contacts).len(), errors.len(), contacts[0].line), (2, 0, 1));
}

#[test]
fn headings_become_what_people_mean_by_them() {
    let guessed = |headings: &str| words(&looked(format!("{headings}\n").as_bytes()).columns);
    assert_eq!(guessed("Email,Email,email address"), ["email", "field:email", "field:email_address"]);
    assert_eq!(guessed("mail,a b,A-B,,!!"), ["email", "field:a_b", "field:a_b_2", "ignore", "ignore"]);
    assert_eq!(guessed("import_error,Phone,Tags,Labels"), ["ignore", "phone", "tags", "tags"]);
    let unnamed = "kontakt,number\nann@example.com,4155550100\n";
    assert_eq!(words(&looked(unnamed.as_bytes()).columns), ["email", "field:number"]);
    let none = looked(b"a,b\n1,2\n");
    assert!(none.mapping().is_err() && none.notes[0].contains("choose one"));
}

#[test]
fn a_file_that_is_no_list_is_refused_with_what_it_is() {
    let refused = |file: &[u8]| sniff(file, None).unwrap_err().to_string();
    assert!(refused(b"").contains("empty") && refused(b" \r\n\n").contains("empty"));
    assert!(refused(b"PK\x03\x04rest").contains("Excel"));
    assert!(refused(b"\n <html>").contains("web page"));
    assert!(refused(b"a\0\0\0b,c\nd").contains("NUL"));
    assert!(refused(b"\"name,email\nAnn,ann@example.com\n").contains("line 1"));
    let wide = vec!["a"; MAX_COLUMNS + 1].join(",");
    assert!(matches!(sniff(wide.as_bytes(), None), Err(ImportError::TooManyColumns(501))));
    let format = Format { encoding: Encoding::Utf8, separator: Separator::Comma, header: true };
    let mapping = Mapping::new(vec![Target::Email]).unwrap();
    let opened = |file: &str| {
        Rows::new(Cursor::new(file.to_owned()), format, mapping.clone(), Options::default()).err()
    };
    assert!(matches!(opened(&vec!["a"; 10_000].join(",")), Some(ImportError::TooManyColumns(10_000))));
    assert!(matches!(opened("a,b\n"), Some(ImportError::Mapping { mapped: 1, found: 2 })));
    assert!(matches!(opened("\n"), Some(ImportError::Empty)));
    assert!(matches!(opened("\"a\n"), Some(ImportError::Header { line: 1, .. })));
}

#[test]
fn one_wrong_quote_costs_one_row_and_its_line_is_kept_to_be_mended() {
    for (bad, code) in [
        ("Bob,\"bob@example.com", "open_quote"),
        ("\"Bob\"by,bob@example.com", "after_quote"),
        (&*format!("Bob,\"{}", "x".repeat(1_000_000)), "open_quote"),
        (&*format!("Bob,{}", "x".repeat(1_000_000)), "row_too_long"),
        (&*format!("\"Bob\"by,{}", "x".repeat(1_000_000)), "after_quote"),
        (&*vec!["x"; 10_000].join(","), "wrong_width"),
    ] {
        let file = format!(
            "name,email\nAnn,ann@example.com\n{bad}\nCarl,carl@example.com\nDora,\"dora@example.com\"\n"
        );
        let (contacts, errors) = read(&file);
        assert_eq!(emails(&contacts), ["ann@example.com", "carl@example.com", "dora@example.com"], "{code}");
        assert_eq!(places(&errors), [(3, code)]);
        assert!(contacts[1].line == 4 && errors[0].cells[0].len() <= 1_000);
        assert!(errors[0].cells[0].starts_with(&bad[..bad.len().min(5)]) || code == "wrong_width");
    }
}

#[test]
fn a_file_of_nothing_but_open_quotes_is_read_in_bounded_work() {
    let mut file = "name,email\n".to_owned();
    for number in 0..20_000 {
        file.push_str(&format!("\"x,{number}@example.com\n\n"));
    }
    let (contacts, errors) = read(&file);
    // Each opening quote is closed by the next line's, and text follows it.
    assert_eq!((contacts.len(), errors.len()), (0, 20_000));
    let file = format!("name,email\n\"{}", "x\n".repeat(20_000));
    assert_eq!(places(&read(&file).1)[0], (2, "open_quote"));
}

#[test]
fn a_quoted_value_has_at_most_so_many_lines_and_each_is_counted() {
    for end in ["\n", "\r\n", "\r"] {
        let note =
            |lines: u64| format!("a{lines}@example.com,\"{}\"{end}", vec!["x"; lines as usize].join(end));
        let file = format!("email,note{end}{}{}b,{end}", note(MAX_ROW_LINES), note(MAX_ROW_LINES + 1));
        let (contacts, errors) = read(file);
        assert_eq!((emails(&contacts), contacts[0].line), (vec!["a200@example.com"], 2));
        assert_eq!(errors[0].line, 202);
        assert_eq!(errors[0].code, RowCode::OpenQuote);
        assert_eq!(errors.last().map(|error| error.line), Some(403), "{end:?}");
    }
}

#[test]
fn quoted_cells_are_read_as_people_write_them() {
    let file = "name, email ,note\n \"Ann \"\"A\"\" Smith\" , \"ann@example.com\" ,\"\"\"\"\n\
        Bob \"The Man\" Smith,bob@example.com,\"\"\n\
        \"Dora\" ,dora@example.com, \"two\nlines\" \n";
    let (contacts, errors) = read(file);
    assert_eq!(errors, []);
    assert_eq!(contacts[0].name.as_deref(), Some("Ann \"A\" Smith"));
    assert_eq!(contacts[0].fields["note"], "\"");
    assert_eq!(contacts[1].name.as_deref(), Some("Bob \"The Man\" Smith"));
    assert!(contacts[1].fields.is_empty());
    assert_eq!(contacts[2].name.as_deref(), Some("Dora"));
    assert_eq!(contacts[2].fields["note"], "two\nlines");
}

#[test]
fn values_that_no_field_holds_are_refused() {
    let long = format!(
        "name,email,note\n{},a@example.com,\nB,b@example.com,{}\nC,c@example.com,{}\n",
        "x".repeat(201),
        "x".repeat(4_001),
        "é".repeat(4_000)
    );
    let (contacts, errors) = read(&long);
    assert_eq!(
        (emails(&contacts), places(&errors)),
        (vec!["c@example.com"], vec![(2, "too_long"), (3, "too_long")])
    );
    assert!(errors[1].value.chars().count() <= 61);
    let tags = format!(
        "email,tags\na@example.com,{}\nb@example.com,{}\n",
        "x".repeat(65),
        (0..51).map(|n| format!("{n};")).collect::<String>()
    );
    assert_eq!(places(&read(tags).1), [(2, "bad_tags"), (3, "bad_tags")]);
}

#[test]
fn the_country_of_a_row_says_how_its_number_and_postal_code_are_read() {
    let file = "email,phone,country,zip,state\na@example.com,020 7946 0958,GB,2134,Georgia\n,4155550100,,2134,georgia\n";
    let (contacts, errors) = read(file);
    assert_eq!(errors, []);
    assert_eq!(contacts[0].phone.as_ref().unwrap().as_str(), "+442079460958");
    assert_eq!((contacts[0].zip.as_deref(), contacts[0].state.as_deref()), (Some("2134"), Some("Georgia")));
    assert_eq!((contacts[1].zip.as_deref(), contacts[1].state.as_deref()), (Some("02134"), Some("GA")));
}

#[test]
fn time_zones_are_known_by_what_people_call_them_and_never_guessed() {
    for (written, zone) in [
        ("America/New_York", Some("America/New_York")),
        ("EST", Some("America/New_York")),
        ("Pacific Time (US & Canada)", Some("America/Los_Angeles")),
        ("America/Argentina/Buenos_Aires", Some("America/Argentina/Buenos_Aires")),
        ("MST", None),
        ("New York", None),
        ("../../etc/passwd", None),
        ("UTC+3", None),
    ] {
        assert_eq!(zone_by_form(written).as_deref(), zone, "{written}");
    }
}

#[test]
fn the_file_of_errors_is_no_formula_and_can_be_imported_again() {
    let file = "name;phone;email\n=cmd|' /C calc'!A0;+1 415;ann@example.com\n-2;+14155550100;@bob\n\
        \"x\ny\";;\nOk;+14155550101;ok@example.com\n\"open;z\n";
    let failed = |file: &str| {
        let mut rows = rows(file.as_bytes());
        let mut errors = ErrorFile::new(Vec::new(), Separator::Semicolon, rows.headings());
        while let Some(row) = rows.next_row().unwrap() {
            if let Err(error) = row {
                errors.write(&error).unwrap();
            }
        }
        String::from_utf8(errors.finish().unwrap()).unwrap()
    };
    let first = failed(file);
    assert!(first.starts_with("\u{feff}import_error;name;phone;email\n"), "{first}");
    let mut csv = csv::ReaderBuilder::new().delimiter(b';').flexible(true).from_reader(first.as_bytes());
    for row in csv.records() {
        for cell in &row.unwrap() {
            assert!(!cell.trim_start().starts_with(['=', '+', '-', '@']), "{cell:?}");
        }
    }
    assert!(
        first.contains("'=cmd|' /C calc'!A0;'+1 415;") && first.contains("'-2;'+14155550100;'@bob"),
        "{first}"
    );
    // A second import of the same rows fails in the same way, and its file is as wide.
    let second = failed(&first);
    assert!(second.starts_with("\u{feff}import_error;name;phone;email\n"), "{second}");
    let without_lines = |file: &str| {
        file.split("line ")
            .map(|part| part.split_once([',', ':']).map_or(part, |p| p.1).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(without_lines(&second)[..3], without_lines(&first)[..3]);
    // Mended, it is a contact again.
    let mended = first.replace("+1 415;", "+1 415 555 0100;").replace("@bob", "bob@example.com");
    let (contacts, _) = read(mended);
    assert_eq!(emails(&contacts), ["ann@example.com", "bob@example.com"]);
    assert_eq!(contacts[0].name.as_deref(), Some("=cmd|' /C calc'!A0"));
    // Nothing is written for an import without errors.
    assert!(failed("name;email\nA;a@example.com\n").is_empty());
}

#[test]
fn a_mapping_is_words_and_is_checked_wherever_it_comes_from() {
    let read = |json: &str| serde_json::from_str::<Mapping>(json);
    let mapping =
        read(r#"["email","ignore","field:plan","time_zone","consent.voicemail","tags","tags"]"#).unwrap();
    let written = serde_json::to_string(&mapping).unwrap();
    assert_eq!(written, r#"["email","ignore","field:plan","tz","consent.voicemail","tags","tags"]"#);
    for (json, why) in [
        (r#"["name"]"#, "at least one"),
        (r#"["email","email"]"#, "1th and the 2th"),
        (r#"["email","field:a","field:a"]"#, "field:a"),
        (r#"["email","field:A b"]"#, "nothing that a column can be"),
        (r#"["email","field:"]"#, "nothing that a column can be"),
        (r#"["email","e-mail"]"#, "nothing that a column can be"),
    ] {
        assert!(read(json).unwrap_err().to_string().contains(why), "{json}");
    }
    assert!(Mapping::new(vec![Target::Email, Target::Field("A b".into())]).is_err());
    for target in Target::all() {
        assert_eq!(target.to_string().parse(), Ok(target));
    }
}

#[test]
fn a_fault_of_the_file_ends_the_import_with_it() {
    struct Broken(Cursor<Vec<u8>>);
    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::Error::other("the cable is out")),
                read => Ok(read),
            }
        }
    }
    let format = Format { encoding: Encoding::Utf8, separator: Separator::Comma, header: true };
    let mapping = Mapping::new(vec![Target::Email]).unwrap();
    let file = Broken(Cursor::new(b"email\na@example.com\nb@example.com\nc@exam".to_vec()));
    let mut rows = Rows::new(file, format, mapping, Options::default()).unwrap();
    assert!(rows.next().unwrap().unwrap().is_ok() && rows.next().unwrap().unwrap().is_ok());
    assert!(matches!(rows.next(), Some(Err(ImportError::Io(_)))) && rows.next().is_none());
}

/// Gives a file in pieces of any sizes, as a network does.
struct Pieces<'a> {
    file: &'a [u8],
    sizes: std::iter::Cycle<std::vec::IntoIter<usize>>,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.sizes.next().unwrap_or(1).min(buffer.len()).min(self.file.len());
        let (piece, rest) = self.file.split_at(size);
        buffer[..size].copy_from_slice(piece);
        self.file = rest;
        Ok(size)
    }
}

/// Files made of what a reader treats specially.
fn tricky() -> impl Strategy<Value = Vec<u8>> {
    let part = prop::sample::select(vec![
        &b"\""[..],
        b"\"\"",
        b",",
        b";",
        b"\t",
        b"\n",
        b"\r",
        b"\r\n",
        b" ",
        b"a",
        b"x@example.com",
        b"y@example.com",
        b"+14155550100",
        b"\0",
        b"\xFF\xFE",
        b"\xEF\xBB\xBF",
        b"\xC3\xA9",
        b"\xE9",
        b"\xD8\x00",
        b"\x00\xD8",
        b"sep=;",
        b"=1",
        b"'=1",
    ]);
    prop::collection::vec(part, 0..60).prop_map(|parts| parts.concat())
}

fn formats() -> impl Strategy<Value = Format> {
    let encodings = vec![Encoding::Utf8, Encoding::Utf16Le, Encoding::Utf16Be, Encoding::Windows1252];
    let separators = Separator::ALL.to_vec();
    (prop::sample::select(encodings), prop::sample::select(separators), any::<bool>())
        .prop_map(|(encoding, separator, header)| Format { encoding, separator, header })
}

fn all_rows(source: impl Read, format: Format, mapping: &Mapping) -> Result<(Vec<Row>, Counts), String> {
    let mut rows =
        Rows::new(source, format, mapping.clone(), Options::default()).map_err(|error| error.to_string())?;
    let mut all = Vec::new();
    while let Some(row) = rows.next_row().map_err(|error| error.to_string())? {
        all.push(row);
    }
    Ok((all, rows.counts().clone()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_rows_or_errors_and_the_same_in_whatever_pieces_they_come(
        file in prop_oneof![prop::collection::vec(any::<u8>(), 0..300), tricky()],
        format in formats(),
        width in 1..4_usize,
        sizes in prop::collection::vec(1..7_usize, 1..5),
    ) {
        let _ = sniff(&file, Some(Country::US));
        let columns = [Target::Email, Target::Phone, Target::Field("a".into())];
        let mapping = Mapping::new(columns[..width].to_vec()).unwrap();
        let whole = all_rows(&file[..], format, &mapping);
        let pieces = all_rows(Pieces { file: &file, sizes: sizes.into_iter().cycle() }, format, &mapping);
        prop_assert_eq!(&whole, &pieces);
        if let Ok((rows, counts)) = whole {
            prop_assert_eq!(counts.rows, counts.contacts + counts.duplicates + counts.failed);
            prop_assert_eq!(counts.rows, rows.len() as u64);
            prop_assert_eq!(counts.bytes, file.len() as u64);
            let line = |row: &Row| row.as_ref().map_or_else(|error| error.line, |contact| contact.line);
            let lines: Vec<u64> = rows.iter().map(line).collect();
            prop_assert!(lines.is_sorted_by(|a, b| a < b), "{:?}", lines);
            let mut errors = ErrorFile::new(Vec::new(), format.separator, &[]);
            for error in rows.iter().filter_map(|row| row.as_ref().err()) {
                errors.write(error).unwrap();
            }
            let file = errors.finish().unwrap();
            let mut csv = csv::ReaderBuilder::new().delimiter(format.separator.byte()).flexible(true).from_reader(&file[..]);
            for row in csv.records() {
                for cell in &row.unwrap() {
                    prop_assert!(!cell.trim_start().starts_with(['=', '+', '-', '@']), "{:?}", cell);
                }
            }
        }
    }

    #[test]
    fn what_a_csv_writer_writes_is_read_back_cell_by_cell(
        table in prop::collection::vec("[ -~é\n\"',;]{0,12}", 1..20), separator in prop::sample::select(&Separator::ALL[..]),
    ) {
        let mut csv = csv::WriterBuilder::new().delimiter(separator.byte()).from_writer(Vec::new());
        csv.write_record(["email", "note"]).unwrap();
        for (number, note) in table.iter().enumerate() {
            csv.write_record([&format!("a{number}@example.com"), note]).unwrap();
        }
        let file = csv.into_inner().unwrap();
        let format = Format { encoding: Encoding::Utf8, separator, header: true };
        let mapping = Mapping::new(vec![Target::Email, Target::Field("note".into())]).unwrap();
        let (rows, _) = all_rows(&file[..], format, &mapping).unwrap();
        prop_assert_eq!(rows.len(), table.len());
        for (row, note) in rows.iter().zip(&table) {
            let read = row.as_ref().unwrap().fields.get("note").map_or("", String::as_str);
            prop_assert_eq!(read, super::cells::clean(note));
        }
    }
}
