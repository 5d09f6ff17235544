//! Everybody can use every page: axe finds nothing against WCAG 2.2 at its levels A and AA, in both themes, on a wide
//! window and on a narrow one, with content and without.

use windlass_server::{Access, Options, Secret};

use crate::document::{held, held_with};
use crate::home::Home;
use crate::judge::{axe, faults};
use crate::pages;
use crate::person::{Person, story};
use crate::stock::Stock;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// Opens every page, and gathers what axe has against them.
async fn looks_at_all(person: &Person, stock: &Stock, home: &Home) {
    let (axe, mut faults_of_all) = (axe(), Vec::new());
    for page in pages::all(stock, home).await {
        person.now(format!("looks at {page}"));
        person.opens(&page).await;
        let found = faults(person, &axe).await;
        faults_of_all.extend(found.into_iter().map(|fault| format!("{page}, {fault}")));
    }
    let list = faults_of_all.join("\n  ");
    assert!(faults_of_all.is_empty(), "{} faults:\n  {list}", faults_of_all.len());
}

#[test]
fn nothing_stands_against_any_page_with_content() {
    story("axe content", async |person| {
        let stock = Stock::varied().await;
        let home = held(&stock.client);
        person.visits(&home);
        looks_at_all(person, &stock, &home).await;
    });
}

#[test]
fn nothing_stands_against_any_page_without_content() {
    story("axe empty", async |person| {
        let stock = Stock::empty().await;
        let home = held(&stock.client);
        person.visits(&home);
        looks_at_all(person, &stock, &home).await;
    });
}

#[test]
fn nothing_stands_against_questions_refused_forms_and_the_login() {
    story("axe forms", async |person| {
        let stock = Stock::varied().await;
        let access = Access::Bearer(Secret::new(TOKEN));
        let home = held_with(&stock.client, Options { access, ..Options::default() });
        person.visits(&home);
        let axe = axe();
        let looks = async |what: &str| {
            person.now(format!("looks at {what}"));
            let found = faults(person, &axe).await;
            assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
        };
        person.opens("/jobs").await;
        looks("the login").await;
        person.fills("Token", "guess\n").await;
        person.reads("not the token of this server").await;
        looks("a refused login").await;
        person.fills("Token", &format!("{TOKEN}\n")).await;
        person.finds("//*[@id='all']", "the jobs").await;
        person.clicks_at("//*[@id='all']", "all jobs of the page").await;
        looks("ticked jobs").await;
        person.clicks("Delete…").await;
        person.reads("Leave it as it is").await;
        looks("a question").await;
        person.clicks("Leave it as it is").await;
        person.clicks("?").await;
        looks("the keys").await;
        person.opens("/limits").await;
        person.fills("Name", "not a name").await;
        person.fills("Rate", "fast\n").await;
        person.finds("//*[@aria-invalid]", "what is refused").await;
        looks("a refused limit").await;
        person.opens("/queues/mail").await;
        person.fills("Retry policy", "often\n").await;
        person.finds("//*[@aria-invalid]", "what is refused").await;
        looks("refused settings").await;
        person.fills("Retry policy", "never\n").await;
        person.reads("are in force").await;
        looks("settings that are in force").await;
    });
}
