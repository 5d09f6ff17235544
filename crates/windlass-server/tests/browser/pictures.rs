//! The pictures of the README: `cargo xtask screenshots` writes them to `docs/images`, any other run to `target/browser`.

use std::path::PathBuf;

use crate::chromium::shelf;
use crate::document::held;
use crate::person::story;
use crate::traffic::Traffic;

/// What a picture may weigh, so that a page with some of them is there at once.
const BYTES_MOST: usize = 150_000;
/// A picture of nothing weighs less.
const BYTES_LEAST: usize = 8_000;

fn folder() -> PathBuf {
    match std::env::var_os("WINDLASS_WRITE_IMAGES") {
        Some(folder) => folder.into(),
        None => shelf().join("images"),
    }
}

#[test]
fn the_pictures_of_the_readme_can_be_taken() {
    story("pictures", async |person| {
        let traffic = Traffic::of_an_hour().await;
        let home = held(&traffic.client);
        person.visits(&home);
        std::fs::create_dir_all(folder()).expect("a folder");
        let job = format!("/jobs/{}", traffic.troubled);
        for (name, path, size, themes) in [
            ("overview", "/", (1280, 800), ["light", "dark"].as_slice()),
            ("queue", "/queues/email?range=1h", (1280, 720), &["light", "dark"]),
            ("jobs", "/jobs?filter=queue:email+state:retrying,dead", (1280, 560), &["light", "dark"]),
            ("job", &job, (1280, 720), &["light", "dark"]),
            ("errors", "/errors", (1280, 400), &["light", "dark"]),
            ("overview-narrow", "/", (360, 720), &["light"]),
        ] {
            for theme in themes {
                person.now(format!("takes the picture {name}, {theme}"));
                person.browser.theme(theme).await;
                person.browser.size(size).await;
                person.opens(path).await;
                person.reads_in("live", "live").await;
                let png = person.browser.picture().await.unwrap_or_else(|refused| panic!("{refused}"));
                let path = folder().join(format!("{name}-{theme}.png"));
                std::fs::write(&path, &png).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                assert!(
                    (BYTES_LEAST..BYTES_MOST).contains(&png.len()),
                    "{name}, {theme}: {} bytes",
                    png.len()
                );
            }
        }
    });
}
