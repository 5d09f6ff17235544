//! `windlass campaigns`: contacts from a file, and what is told of what there is not.

use crate::shell::Shell;

const LIST: &str = "Who;Mail;Plan\nAnn;ann@example.com;gold\nBob;bob@;\nANN;Ann@Example.com;\n";

fn shell() -> Shell {
    let shell = Shell::new();
    std::fs::write(shell.path("people.csv"), LIST).expect("a file");
    shell
}

#[test]
fn a_look_shows_what_columns_mean_and_imports_nothing() {
    let shell = shell();
    let look = shell.object(&["campaigns", "import", "people.csv", "--look", "--map", "who=name"]);
    let means: Vec<&str> = look["columns"]
        .as_array()
        .expect("columns")
        .iter()
        .map(|one| one["means"].as_str().expect("a word"))
        .collect();
    assert_eq!(means, ["name", "email", "field:plan"]);
    assert_eq!(
        (look["contacts"].as_u64(), look["format"]["separator"].as_str()),
        (Some(1), Some("semicolon"))
    );
    assert!(look["refused"][0].as_str().is_some_and(|why| why.starts_with("line 3, Mail")), "{look}");
    let shown = shell.run(&["campaigns", "import", "people.csv", "--look"]);
    assert_eq!(shown.code, 0, "{}", shown.err);
    assert!(shown.out.contains("field:who") && shown.out.contains("ann@example.com"), "{}", shown.out);
    assert!(shown.err.contains("of the first 3 rows, 1 become contacts"), "{}", shown.err);
    assert!(!shell.path("campaigns.db").exists(), "nothing is opened");
}

#[test]
fn a_file_is_imported_and_its_refused_rows_are_written_where_they_are_wanted() {
    let shell = shell();
    let import = ["campaigns", "import", "people.csv", "--list", "spring", "--errors", "refused.csv"];
    let done = shell.object(&import);
    assert_eq!((done["status"].as_str(), done["name"].as_str()), (Some("done"), Some("people.csv")));
    let progress = &done["progress"];
    let counts = ["rows", "added", "updated", "duplicates", "refused"].map(|name| progress[name].as_u64());
    assert_eq!(counts, [Some(3), Some(1), Some(0), Some(1), Some(1)]);
    let refused = std::fs::read_to_string(shell.path("refused.csv")).expect("a file");
    assert!(refused.contains("Bob;bob@;") && refused.lines().count() == 3, "{refused}");

    let told = shell.run(&import[..5]);
    assert_eq!(told.code, 0, "{}", told.err);
    assert_eq!(
        told.out.trim_end(),
        "import 2 (people.csv): 3 rows, 0 new, 1 known, 1 twice in the file, 1 refused"
    );
    assert!(told.err.contains("Mail → email") && told.err.contains("1 bad_email"), "{}", told.err);
    let piped = shell.feed(&["campaigns", "import", "-", "--list", "spring", "--plain"], LIST.as_bytes());
    assert_eq!((piped.code, piped.out.trim_end()), (0, "3\tdone\t3\t0\t1\t1\t1"), "{}", piped.err);
}

#[test]
fn what_cannot_be_imported_is_told_with_its_code() {
    let shell = shell();
    std::fs::write(shell.path("book.xlsx"), b"PK\x03\x04").expect("a file");
    std::fs::write(shell.path("empty.csv"), b"").expect("a file");
    std::fs::write(shell.path("words.csv"), "one,two\nthree,four\n").expect("a file");
    for (arguments, said) in [
        (&["missing.csv", "--list", "x"][..], "missing.csv"),
        (&["book.xlsx", "--list", "x"], "an Excel workbook"),
        (&["empty.csv", "--list", "x"], "empty"),
        (&["words.csv", "--list", "x"], "--map"),
        (&["words.csv", "--look"], "--map"),
        (&["people.csv"], "--list"),
        (&["people.csv", "--list", "x", "--map", "Post=email"], "it has Who, Mail, Plan"),
        (&["people.csv", "--list", "x", "--map", "Who=pigeon"], "pigeon"),
        (&["people.csv", "--list", "x", "--country", "Atlantis"], "Atlantis"),
        (&["people.csv", "--list", "x", "--basis", "because"], "express_written"),
    ] {
        let ran = shell.run(&[&["campaigns", "import"], arguments].concat());
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains(said), "{said}: {}", ran.err);
    }
}

#[test]
fn a_database_that_is_misspelt_is_told_and_not_made() {
    let shell = shell();
    for verb in [&["ls"][..], &["show", "1"], &["launch", "1"], &["sharing"]] {
        let ran = shell.run(&[&["campaigns", "--database", "sqlite:typo.db"], verb].concat());
        assert_eq!(ran.code, 3, "{verb:?}: {}", ran.err);
        assert!(ran.err.contains("no database of campaigns at typo.db"), "{}", ran.err);
        assert!(ran.err.contains("windlass serve --campaigns"), "{}", ran.err);
    }
    assert!(!shell.path("typo.db").exists());
    let mapped = ["campaigns", "import", "words.csv", "--list", "x"];
    std::fs::write(shell.path("words.csv"), "one,two\nthree,four\n").expect("a file");
    assert_eq!(shell.run(&mapped).code, 2);
    let listed = shell.run(&["campaigns", "ls"]);
    assert_eq!((listed.code, listed.out.trim()), (0, ""), "an import makes it: {}", listed.err);
}

#[test]
fn a_test_is_ended_with_a_letter_that_a_variant_has_and_of_a_campaign_that_there_is() {
    let shell = shell();
    assert_eq!(shell.run(&["campaigns", "import", "people.csv", "--list", "spring"]).code, 0);
    let keep = |letter: &str| {
        shell.run(&["campaigns", "keep", "7", "--step", "1", "--variant", letter, "--moves", "not-begun"])
    };
    let wrong = keep("F");
    assert_eq!(wrong.code, 2, "{}", wrong.err);
    assert!(wrong.err.contains("a letter from A to E"), "{}", wrong.err);
    let unknown = keep("b");
    assert_eq!(unknown.code, 3, "{}", unknown.err);
    assert!(unknown.err.contains("there is no campaign 7"), "{}", unknown.err);
}

#[test]
fn a_mail_servers_pipe_hears_whether_to_keep_the_mail() {
    let shell = shell();
    shell.ok(&["campaigns", "import", "people.csv", "--list", "spring"]);
    let answer = "From bob@example.org  Sat Nov 21 10:00:00 2026\nFrom: Bob <bob@example.org>\nTo: ann@example.com\n\
                  Subject: Re: News\nMessage-ID: <1@example.org>\n\nSTOP\n";
    let mail = ["campaigns", "mail"];
    for what in ["opted_out", "known"] {
        let taken = shell.feed(&[&mail[..], &["--json"]].concat(), answer.as_bytes());
        assert_eq!(taken.code, 0, "{}", taken.err);
        let taken: serde_json::Value = serde_json::from_str(&taken.out).expect("JSON");
        assert_eq!((taken["became"].as_str(), taken["message"].is_null()), (Some(what), true), "{taken}");
    }
    let other = answer.replace("STOP", "Call me").replace("<1@", "<2@");
    let taken = shell.feed(&mail, other.as_bytes());
    assert_eq!((taken.code, taken.out.trim_end()), (0, "nothing to do with any message"), "{}", taken.err);

    for nothing in [&b""[..], b"hello", b"\xff\xfe\x00"] {
        let refused = shell.feed(&[&mail[..], &["--json"]].concat(), nothing);
        assert_eq!(refused.code, 65, "{}", refused.err);
        assert!(refused.err.contains("no_mail"), "{}", refused.err);
    }
    // Whatever else is wrong passes, or is mended: the mail is kept until then.
    for (option, value) in [
        ("--database", "postgres://nobody@127.0.0.1:1/nowhere"),
        ("--database", "pigeon:coop"),
        ("--database", "sqlite:typo.db"),
        ("--store", "http://127.0.0.1:1"),
    ] {
        let kept = shell.feed(&[&mail[..], &[option, value]].concat(), other.as_bytes());
        assert_eq!(kept.code, 75, "{option} {value}: {}", kept.err);
    }
}
