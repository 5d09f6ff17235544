//! What users call in their own transactions.
