//! The dashboard in a real browser: what people do with it, that everybody can, and that nothing stored ever runs.
//!
//! Each test is one story in a headless Chromium of its own, before a real server with real workers. `chromium` drives
//! the browser, `person` is who uses it; `operator` and `visitor` are their stories; `everybody` has axe judge the pages.

#[path = "../asker/mod.rs"]
mod asker;
mod chromium;
mod crew;
#[path = "../document/mod.rs"]
mod document;
mod everybody;
#[path = "../home/mod.rs"]
mod home;
mod hostile;
mod judge;
mod operator;
mod pages;
mod person;
mod pictures;
#[allow(dead_code, reason = "each test target uses its part")]
#[path = "../pages/stock.rs"]
mod stock;
mod traffic;
mod visitor;
