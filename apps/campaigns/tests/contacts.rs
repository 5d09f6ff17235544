//! A user's own list: everything wrong with it is named by its line, and nothing else is lost.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::io::Cursor;

use windlass_campaigns::contacts::{Contact, ContactReader, ContactsError, Reason, Row};

/// The contacts of a file, and the lines of its bad rows.
type Read = (Vec<Contact>, Vec<(u64, Reason)>);

fn read(file: impl Into<Vec<u8>>) -> Result<Read, ContactsError> {
    let reader = ContactReader::from_reader(Cursor::new(file.into()), "list.csv")?;
    let (mut contacts, mut bad) = (Vec::new(), Vec::new());
    for row in reader {
        match row.unwrap() {
            Row::Contact(contact) => contacts.push(contact),
            Row::Bad(row) => bad.push((row.line, row.reason)),
        }
    }
    Ok((contacts, bad))
}

fn names(contacts: &[Contact]) -> Vec<&str> {
    contacts.iter().map(|contact| &*contact.name).collect()
}

#[test]
fn columns_are_found_in_any_order_under_the_names_people_give_them() {
    for header in [
        "Mobile,NAME,Plan,E-Mail,Time Zone",
        "phone_number, Full Name ,Plan,Email Address,tz",
        "\u{feff}\"Phone\",\"name\",Plan,mail,TimeZone",
    ] {
        let file = format!("{header}\r\n+1 (555) 000-0001,Ann,gold,ann@example.com,Europe/Oslo\r\n");
        let (contacts, bad) = read(file).unwrap();
        assert!(bad.is_empty(), "{header}: {bad:?}");
        let expected = Contact {
            name: "Ann".into(),
            email: Some("ann@example.com".into()),
            phone: Some("+15550000001".into()),
            timezone: Some("Europe/Oslo".into()),
            extra: vec!["gold".into()],
        };
        assert_eq!(contacts, [expected], "{header}");
    }
    for delimiter in [';', '\t'] {
        let file =
            "name,email,phone\nAnn,ann@example.com,+15550000001\n".replace(',', &delimiter.to_string());
        assert_eq!(names(&read(file).unwrap().0), ["Ann"]);
    }
}

#[test]
fn each_bad_row_is_reported_with_its_line_and_skipped() {
    let mut file = b"name,email,phone,note\n\
        Ann,ann@example.com,+15550000001,a\n\
        Nobody,,,b\n\
        Bad,not-an-address,+15550000002,c\n\
        \n\
        Short,short@example.com\n\
        Local,local@example.com,555-0003,d\n\
        Many,many@example.com,+15550000004,e,f,g\n\
        Twin,ANN@example.com,+15550000005,h\n\
        Same,same@example.com,+1 555 000 0001,i\n\
        \"Multi\",multi@example.com,+15550000006,\"two\nlines, \"\"quoted\"\"\"\n\
        Trailing,trailing@example.com,+15550000007,j,,,\n\
        Raw,"
        .to_vec();
    file.extend_from_slice(b"raw@example.com,,\xff\xfe\n");
    file.extend_from_slice(b"After,after@example.com,0015550000008,k");
    let (contacts, bad) = read(file).unwrap();
    assert_eq!(names(&contacts), ["Ann", "Short", "Multi", "Trailing", "After"]);
    assert_eq!(contacts[2].extra, ["two\nlines, \"quoted\""]);
    assert_eq!(contacts[4].phone.as_deref(), Some("+15550000008"));
    let expected = [
        (3, Reason::NoAddress),
        (4, Reason::BadEmail("not-an-address".into())),
        (7, Reason::BadPhone("555-0003".into())),
        (8, Reason::TooManyFields { fields: 6, columns: 4 }),
        (9, Reason::Duplicate { address: "ANN@example.com".into(), first_line: 2 }),
        (10, Reason::Duplicate { address: "+15550000001".into(), first_line: 2 }),
        (14, Reason::NotUtf8),
    ];
    assert_eq!(bad, expected);
}

#[test]
fn a_row_that_is_skipped_does_not_claim_its_addresses() {
    let (contacts, bad) = read("email,phone\nx@example.com,bad\nx@example.com,+15550000001\n").unwrap();
    assert_eq!((contacts.len(), bad.len()), (1, 1));
}

#[test]
fn one_wrong_quote_costs_one_row_wherever_it_stands() {
    let row = |number: u32| format!("\"P{number}\",p{number}@example.com,+1555{number:07},\"n {number}\"");
    for field in 0..4 {
        for victim in [1, 250, 500] {
            let rows: Vec<String> = (1..=500)
                .map(|number| {
                    let mut cells: Vec<String> = row(number).split(',').map(str::to_owned).collect();
                    if number == victim {
                        cells[field] = format!("\"{}", cells[field].trim_matches('"'));
                    }
                    cells.join(",")
                })
                .collect();
            let (contacts, bad) = read(format!("name,email,phone,note\n{}\n", rows.join("\n"))).unwrap();
            let lines: Vec<u64> = bad.iter().map(|(line, _)| *line).collect();
            assert_eq!(lines, [u64::from(victim) + 1], "field {field} of row {victim}: {bad:?}");
            assert_eq!(contacts.len(), 499, "field {field} of row {victim}");
        }
    }
}

#[test]
fn quotes_inside_a_plain_value_are_ordinary_characters() {
    let (contacts, bad) =
        read("name,email\nBob \"The Man\" Smith,bob@example.com\nAnn,ann@example.com\n").unwrap();
    assert_eq!((names(&contacts), bad.len()), (vec!["Bob \"The Man\" Smith", "Ann"], 0));
}

#[test]
fn an_endless_row_is_passed_over_without_being_held() {
    let mut file = b"name,email\n".to_vec();
    file.extend(std::iter::repeat_n(b'x', 5_000_000));
    file.extend_from_slice(b"\nAnn,ann@example.com\n");
    let (contacts, bad) = read(file).unwrap();
    assert_eq!((names(&contacts), bad), (vec!["Ann"], vec![(2, Reason::TooLong)]));
}

#[test]
fn a_file_that_is_no_list_is_refused_in_words() {
    for (file, expected) in [
        (&b""[..], "empty"),
        (b"\xef\xbb\xbf\n\n", "empty"),
        (b"ann,+15550000001\n", "no e-mail or phone column among [\"ann\", \"+15550000001\"]"),
        (b"name,email,E-Mail\n", "appears twice"),
        (b"\xff\xfen\0a\0", "UTF-16"),
        (b"name,email\rAnn,ann@example.com\r", "CR alone"),
        (b"\x00\x01\x02\xff\n", "UTF-8"),
        (b"\"name,email\n", "quote"),
    ] {
        let error = read(file).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("list.csv"), "{error}");
    }
    let missing = ContactReader::open(std::path::Path::new("/no/such/list.csv"));
    assert!(matches!(missing, Err(ContactsError::Io { .. })));
}

#[test]
fn every_row_of_noise_is_a_contact_or_a_reported_line() {
    // A small generator of its own, so that a failure repeats from the printed seed.
    let alphabet: Vec<char> = "ab@.+1,\"\n\r ;é".chars().collect();
    for seed in 1..=400_u64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut draw = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as usize
        };
        let noise: String = (0..300).map(|_| alphabet[draw() % alphabet.len()]).collect();
        let file = format!("name,email\n{noise}\nAnn,ann@example.com\n");
        let blank = |line: &&str| line.trim().is_empty();
        let (contacts, bad) = read(file.clone()).unwrap();
        let lines: Vec<&str> = file.split('\n').collect();
        let filled = lines.iter().filter(|line| !blank(line)).count() - 1;
        assert_eq!(contacts.len() + bad.len(), filled, "seed {seed}: {file:?}");
        assert_eq!(contacts.last().map(|contact| &*contact.name), Some("Ann"), "seed {seed}: {file:?}");
    }
}
