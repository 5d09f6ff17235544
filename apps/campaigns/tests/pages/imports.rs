//! Contacts from a file, as a browser brings it: the file, what its columns mean, the import, what was refused.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use windlass_campaigns::{
    import::MAX_COLUMNS,
    intake,
    model::{ContactId, ImportId, import::ImportStatus},
    pages::PATH,
    store::contacts,
};

use super::{
    new_site,
    site::{ALL, Answer, Site, well_formed},
};

const LIST: &str = "First Name,E-mail,Mobile,Time Zone,SMS consent,Favourite\n\
    Ann,ann@example.com,+1 212 555 0100,Eastern,yes,tea\n\
    Bob,bob@,,,,\n\
    Carl,carl@example.com,,America/Nowhere,,\n\
    Ann,ANN@example.com,,,,\n\
    Dora,dora@example.com,020 7946 0958,Europe/London,2026-03-01,\"<b>cake</b>, coffee\"\n";

impl Site {
    /// A form with a file, as browsers send it.
    async fn upload_as(&self, may: &str, name: &str, file: &[u8]) -> Answer {
        let mut body = Vec::new();
        let mut line = |bytes: &[u8]| body.extend_from_slice(bytes);
        line(b"--xyzzy\r\nContent-Disposition: form-data; name=\"back\"\r\n\r\nnowhere\r\n");
        line(b"--xyzzy\r\nContent-Disposition: form-data; name=\"file\"; filename=\"");
        line(name.as_bytes());
        line(b"\"\r\nContent-Type: text/csv\r\n\r\n");
        line(file);
        line(b"\r\n--xyzzy--\r\n");
        let request = Request::post(format!("{PATH}/imports"))
            .header(header::CONTENT_TYPE, "multipart/form-data; boundary=xyzzy")
            .body(Body::from(body))
            .unwrap();
        self.ask(may, request).await
    }

    async fn upload(&self, file: &[u8]) -> Answer {
        self.upload_as(ALL, "people.csv", file).await
    }

    async fn imported(&self, id: i64) -> windlass_campaigns::model::import::Import {
        loop {
            let import = intake::look(&self.app, ImportId(id)).await.unwrap();
            if import.status.is_over() {
                return import;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

/// The fields of the mapping as the page proposes them, some of them changed.
fn fields_of(html: &str, changed: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    for part in html.split("<select ").skip(1) {
        let select = part.split("</select>").next().unwrap();
        let name = select.split("name=\"").nth(1).unwrap().split('"').next().unwrap();
        let chosen = select.split("<option value=\"").skip(1).find(|option| option.contains(" selected"));
        fields.push((name.to_owned(), chosen.unwrap().split('"').next().unwrap().to_owned()));
    }
    for name in ["list", "country"] {
        let input = html.split("<input ").find(|input| input.contains(&format!("name=\"{name}\""))).unwrap();
        let value = input.split("value=\"").nth(1).unwrap().split('"').next().unwrap();
        fields.push((name.to_owned(), value.to_owned()));
    }
    fields.retain(|(name, _)| changed.iter().all(|(other, _)| other != name));
    fields.extend(changed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    fields
}

fn borrowed(fields: &[(String, String)]) -> Vec<(&str, &str)> {
    fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_brought_looked_at_imported_and_what_was_refused_comes_back() {
    let (_dir, site) = new_site().await;
    assert!(site.page("/imports").await.contains("Nothing yet"));
    assert!(site.page("/contacts").await.contains("/q/campaigns/imports\""));
    let brought = site.upload(LIST.as_bytes()).await;
    assert_eq!(brought.goes_to(), "/imports/1");
    let html = site.page("/imports/1").await;
    for part in [
        "<option value=\"email\" selected>mailbox",
        "<option value=\"phone\" selected>phone number",
        "<option value=\"tz\" selected>time zone",
        "<option value=\"consent.sms\" selected>agrees to sms",
        "<option value=\"field:favourite\" selected>own field: favourite",
        "value=\"people\"",
        "6 columns with commas between",
        "America/New_York",
        "&#60;b&#62;cake",
        "line 4, Time Zone",
    ] {
        assert!(html.contains(part), "{part} is not on it: {html}");
    }
    assert!(site.page("/imports").await.contains("waiting"));

    // Somebody else's numbers, and another look.
    let fields = fields_of(&html, &[("column-0", "name"), ("country", "GB"), ("then", "look")]);
    let again = site.post("/imports/1", &borrowed(&fields)).await;
    assert_eq!(again.status, StatusCode::OK);
    well_formed("look again", &again.text);
    assert!(again.text.contains("+442079460958") && again.text.contains("<option value=\"name\" selected"));
    assert!(again.text.contains("value=\"GB\""), "what was chosen stays: {}", again.text);

    let fields = fields_of(&again.text, &[("list", "Spring"), ("known", "fill")]);
    let begun = site.post("/imports/1", &borrowed(&fields)).await;
    assert!(begun.flash().good && begun.goes_to() == "/imports/1", "{begun:?}");
    let import = site.imported(1).await;
    assert_eq!((import.progress.added, import.progress.refused, import.progress.duplicates), (2, 2, 1));
    let html = site.page("/imports/1").await;
    for part in [
        "100 %",
        "<dd id=\"added\">2</dd>",
        "onto the list Spring",
        "bad_time_zone",
        "The address stands in an earlier row",
        "/imports/1/errors.csv",
    ] {
        assert!(html.contains(part), "{part} is not on it: {html}");
    }
    assert!(!html.contains("/cancel"), "nothing to stop: {html}");
    let people = site.app.db().read(|tx| contacts::page(tx, None, "", ContactId(0), 9)).await.unwrap();
    let names: Vec<_> = people.iter().map(|one| (one.name.as_str(), one.phone.as_deref())).collect();
    assert_eq!(names, [("Ann", Some("+12125550100")), ("Dora", Some("+442079460958"))]);
    assert!(site.page("/imports").await.contains("Spring"));
    assert!(site.page("/audit").await.contains("/q/campaigns/imports/1\""), "the change leads to its import");

    let file = site.get("/imports/1/errors.csv").await;
    assert_eq!(file.headers["content-type"], "text/csv; charset=utf-8");
    assert!(file.headers["content-disposition"].to_str().unwrap().contains("import-1-refused.csv"));
    assert_eq!(file.text.lines().count(), 4, "{}", file.text);
    // Mended, it comes in again.
    let mended = file.text.replace("America/Nowhere", "Pacific");
    assert_eq!(site.upload(mended.as_bytes()).await.goes_to(), "/imports/2");
    let fields = fields_of(&site.page("/imports/2").await, &[("list", "Spring")]);
    assert!(site.post("/imports/2", &borrowed(&fields)).await.flash().good);
    assert_eq!(site.imported(2).await.progress.added, 1);

    let again = site.post("/imports/2", &borrowed(&fields)).await;
    assert!(!again.flash().good, "it was imported already");

    // A colleague of somebody who is erased comes with her number.
    assert!(!site.page("/imports/2").await.contains("<h2>Contacts without"));
    let ann = people[0].id.0;
    assert!(site.post(&format!("/contacts/{ann}/erase"), &[("confirmed", "yes")]).await.flash().good);
    let file = "email,mobile\nann@example.com,\nbob@example.com,+1 212 555 0100\n";
    assert_eq!(site.upload(file.as_bytes()).await.goes_to(), "/imports/3");
    let fields = fields_of(&site.page("/imports/3").await, &[("list", "Spring")]);
    assert!(site.post("/imports/3", &borrowed(&fields)).await.flash().good);
    site.imported(3).await;
    let html = site.page("/imports/3").await;
    let at = |part: &str| html.find(part).unwrap_or_else(|| panic!("{part} is not on it: {html}"));
    let kept = at("<h2>Contacts without");
    assert!(at(">erased</span>") < kept && kept < at(">number_erased</span>"), "{html}");
    assert!(!html.contains("555 0100") && !html.contains("5550100"), "{html}");
    let over = site.post("/imports/2/cancel", &[]).await;
    assert!(!over.flash().good && over.flash().text.contains("is done"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_none_is_told_beside_its_field_and_leaves_nothing() {
    let (_dir, site) = new_site().await;
    let wide = vec!["a"; MAX_COLUMNS + 1].join(",");
    let late = [vec![b'x', b'\n'], vec![0; 100]].concat();
    for (file, said) in [
        (&b""[..], "the file is empty"),
        (b"\r\n \r\n", "the file is empty"),
        (b"PK\x03\x04\0\0\0", "an Excel workbook"),
        (b"%PDF-1.7", "a PDF"),
        (&late, "NUL bytes"),
        (&vec![b'x'; 2_000_000], "longer than"),
        (wide.as_bytes(), "501 columns"),
    ] {
        let answer = site.upload(file).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        well_formed("/imports", &answer.text);
        assert!(
            answer.text.contains("id=\"i-file-fault\"") && answer.text.contains(said),
            "{said}: {}",
            answer.text
        );
    }
    let nameless = site.upload_as(ALL, "", b"").await;
    assert!(nameless.text.contains("choose a file"), "{}", nameless.text);
    let no_form = site.post("/imports", &[("file", "x")]).await;
    assert!(no_form.status.is_client_error(), "{}", no_form.status);
    well_formed("/imports", &no_form.text);
    assert!(site.page("/imports").await.contains("Nothing yet"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mapping_that_cannot_be_is_told_and_nothing_begins() {
    let (_dir, site) = new_site().await;
    site.upload(LIST.as_bytes()).await;
    let html = site.page("/imports/1").await;
    for (changed, said) in [
        (&[("column-1", "ignore"), ("column-2", "ignore")][..], "no column is the e-mail address"),
        (&[("column-0", "email")], "two columns are email"),
        (&[("column-0", "pigeon")], "nothing that a column can be"),
        (&[("list", " ")], "1 to 100 characters"),
        (&[("country", "Atlantis")], "two letters"),
        (&[("basis", "because")], "because"),
    ] {
        let fields = fields_of(&html, changed);
        let refused = site.refused("/imports/1", &borrowed(&fields)).await;
        assert!(refused.contains(said), "{said}: {refused}");
        assert!(refused.contains("<option value=\"consent.sms\" selected"), "the rest stays chosen");
    }
    assert_eq!(intake::look(&site.app, ImportId(1)).await.unwrap().status, ImportStatus::Waiting);
    let left = site.post("/imports/1", &[("then", "cancel")]).await;
    assert!(left.flash().good && left.goes_to() == "/imports", "{left:?}");
    assert_eq!(intake::look(&site.app, ImportId(1)).await.unwrap().status, ImportStatus::Cancelled);
    assert!(site.page("/imports/1").await.contains("cancelled"));

    // A file without headings and addresses has to be told what it is.
    site.upload(b"one,two\nthree,four\n").await;
    let html = site.page("/imports/2").await;
    assert!(html.contains("No column looks like") && html.contains("Nothing: choose"), "{html}");
    // One in old letters is read as such.
    site.upload(b"name,email\nJos\xe9,jose@example.com\n").await;
    let html = site.page("/imports/3").await;
    assert!(html.contains("José") && html.contains("<option value=\"windows-1252\" selected"), "{html}");
    let fields = fields_of(&html, &[("encoding", "UTF-8"), ("then", "look")]);
    let wrong = site.post("/imports/3", &borrowed(&fields)).await.text;
    assert!(wrong.contains("the row is not UTF-8"), "{wrong}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_not_see_addresses_sees_none_of_a_file_and_whoever_only_looks_brings_none() {
    let (_dir, site) = new_site().await;
    let brought = site.upload_as("read operate", "people.csv", LIST.as_bytes()).await;
    assert_eq!(brought.goes_to(), "/imports/1");
    let html = site.get_as("read operate", "/imports/1").await.text;
    let fields = fields_of(&html, &[]);
    for hidden in ["ann@", "Ann", "555", "cake", "Nowhere"] {
        assert!(!html.contains(hidden), "it says {hidden}: {html}");
    }
    assert!(site.post_as("read operate", "/imports/1", &borrowed(&fields)).await.flash().good);
    site.imported(1).await;
    let html = site.get_as("read", "/imports/1").await.text;
    assert!(html.contains("bad_email") && !html.contains("Nowhere") && !html.contains("ANN@"), "{html}");
    assert_eq!(site.get_as("read operate", "/imports/1/errors.csv").await.status, StatusCode::FORBIDDEN);
    assert_eq!(site.upload_as("read payloads", "x.csv", b"").await.status, StatusCode::FORBIDDEN);
    assert_eq!(site.get("/imports/99").await.status, StatusCode::NOT_FOUND);
    assert_eq!(site.get("/imports/99/errors.csv").await.status, StatusCode::NOT_FOUND);
    assert_eq!(site.post("/imports/99", &[("then", "look")]).await.status, StatusCode::NOT_FOUND);
}
