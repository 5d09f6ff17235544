use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, windlass::Job)]
#[job(quueue = "email")]
struct Misspelt;

#[derive(Serialize, Deserialize, windlass::Job)]
#[job(timeout = "30")]
struct NoUnit;

#[derive(Serialize, Deserialize, windlass::Job)]
#[job(unique(by = "user"))]
struct NoField {
    user_id: u64,
    template: String,
}

#[derive(Serialize, Deserialize, windlass::Job)]
#[job(retry(exponentially))]
struct NoPolicy;

fn main() {}
