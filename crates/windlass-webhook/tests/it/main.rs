//! What a guard lets through, and what a sender does with real servers.

mod hostile;
mod receiver;
mod requests;
