//! Bytes on the way to a function and back: arguments in, replies out.
//!
//! Nothing here knows a rule. What Redis answers is checked as if a stranger had sent it: a reply of
//! another shape is a store error, never a panic.

use redis::Value;
use windlass_core::{JobId, Lease, LeaseToken, QueueName, Rejection, StoreError, Time, WorkerId};

/// A reply that does not have the shape that its function gives.
#[derive(Debug)]
pub(crate) struct Misread(pub(crate) &'static str);

impl Misread {
    pub(crate) fn into_error(self, operation: &'static str) -> StoreError {
        let cause =
            format!("the server's answer cannot be read ({}); is the key space changed by others?", self.0);
        StoreError::stopped(operation, cause)
    }
}

pub(crate) type Read<T> = Result<T, Misread>;

/// The bytes of a reply.
pub(crate) fn bytes(value: Value) -> Read<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) => Ok(text.into_bytes()),
        Value::Okay => Ok(b"OK".to_vec()),
        Value::Int(n) => Ok(n.to_string().into_bytes()),
        _ => Err(Misread("bytes")),
    }
}

/// The text of a reply.
pub(crate) fn text(value: Value) -> Read<String> {
    String::from_utf8(bytes(value)?).map_err(|_| Misread("text"))
}

/// The whole number of a reply.
pub(crate) fn number(value: Value) -> Read<u64> {
    match value {
        Value::Int(n) => u64::try_from(n).map_err(|_| Misread("number")),
        other => text(other)?.parse().map_err(|_| Misread("number")),
    }
}

/// A time, or none where the reply is empty.
pub(crate) fn time(value: Value) -> Read<Option<Time>> {
    let text = text(value)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(|ms| Some(Time(ms))).map_err(|_| Misread("time"))
}

/// The items of a reply; none is an empty list.
pub(crate) fn items(value: Value) -> Read<Vec<Value>> {
    match value {
        Value::Array(items) | Value::Set(items) => Ok(items),
        Value::Nil => Ok(Vec::new()),
        _ => Err(Misread("list")),
    }
}

/// Exactly `N` items.
pub(crate) fn fields<const N: usize>(value: Value) -> Read<[Value; N]> {
    items(value)?.try_into().map_err(|_| Misread("fields"))
}

/// The pairs of a flat list.
pub(crate) fn pairs(value: Value) -> Read<Vec<(Vec<u8>, Vec<u8>)>> {
    match value {
        Value::Map(pairs) => pairs.into_iter().map(|(k, v)| Ok((bytes(k)?, bytes(v)?))).collect(),
        other => {
            let flat = items(other)?.into_iter().map(bytes).collect::<Read<Vec<_>>>()?;
            let mut pairs = Vec::with_capacity(flat.len() / 2);
            let mut flat = flat.into_iter();
            while let (Some(key), Some(value)) = (flat.next(), flat.next()) {
                pairs.push((key, value));
            }
            Ok(pairs)
        }
    }
}

/// A list of numbers.
pub(crate) fn numbers(value: Value) -> Read<Vec<u64>> {
    items(value)?.into_iter().map(number).collect()
}

/// A rejection as the functions write it.
pub(crate) fn rejection(json: &[u8]) -> Read<Rejection> {
    serde_json::from_slice(json).map_err(|_| Misread("rejection"))
}

/// Nothing, or a rejection.
pub(crate) fn done(value: Value) -> Read<Result<(), Rejection>> {
    let answer = bytes(value)?;
    if answer.is_empty() { Ok(Ok(())) } else { Ok(Err(rejection(&answer)?)) }
}

/// One such answer per item.
pub(crate) fn all_done(value: Value) -> Read<Vec<Result<(), Rejection>>> {
    items(value)?.into_iter().map(done).collect()
}

/// A cursor over bytes that a function has packed: whole numbers are big-endian.
pub(crate) struct Unpack<'a>(pub(crate) &'a [u8]);

impl<'a> Unpack<'a> {
    /// The next `n` bytes.
    pub(crate) fn take(&mut self, n: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(Misread("packed bytes"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// A whole number of `n` bytes, at most 8.
    pub(crate) fn int(&mut self, n: usize) -> Read<u64> {
        Ok(self.take(n)?.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    }

    /// A whole number that fits 32 bits.
    pub(crate) fn u32(&mut self, n: usize) -> Read<u32> {
        u32::try_from(self.int(n)?).map_err(|_| Misread("packed number"))
    }

    /// A job's id.
    pub(crate) fn id(&mut self) -> Read<JobId> {
        id(self.take(16)?)
    }

    /// Text behind its length in `n` bytes.
    pub(crate) fn text(&mut self, n: usize) -> Read<&'a str> {
        let length = self.u32(n)? as usize;
        std::str::from_utf8(self.take(length)?).map_err(|_| Misread("packed text"))
    }
}

/// A job's id from its 16 bytes.
pub(crate) fn id(bytes: &[u8]) -> Read<JobId> {
    bytes.try_into().map(|bytes| JobId(u128::from_be_bytes(bytes))).map_err(|_| Misread("job id"))
}

/// What a call owes to whoever waits, in its own process and in others.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    /// Which store handle made the call.
    pub(crate) sender: u64,
    /// The earliest time at which the call gave upkeep something to do.
    pub(crate) due: Option<Time>,
    /// It wrote events.
    pub(crate) events: bool,
    /// Queues in which something has become claimable, and how many jobs.
    pub(crate) rings: Vec<(QueueName, u64)>,
    /// Holders whose lease was asked to stop or has ended.
    pub(crate) notices: Vec<(WorkerId, Lease)>,
}

impl Bell {
    /// Reads what `Call.finish` packed; nothing where it packed nothing.
    pub(crate) fn read(packed: &[u8]) -> Read<Self> {
        let mut from = Unpack(packed);
        if packed.is_empty() {
            return Ok(Self::default());
        }
        let mut bell = Self { sender: from.int(8)?, ..Self::default() };
        bell.due = Some(from.int(6)?).filter(|ms| *ms != 0).map(Time);
        bell.events = from.int(1)? == 1;
        let (rings, notices) = (from.int(2)?, from.int(2)?);
        for _ in 0..rings {
            let name = QueueName::new(from.text(1)?).map_err(|_| Misread("queue name"))?;
            bell.rings.push((name, from.int(4)?));
        }
        for _ in 0..notices {
            let worker = WorkerId(from.int(8)?);
            let job = from.id()?;
            let attempt = from.u32(4)?;
            let token = LeaseToken { counter: from.int(8)?, nonce: from.int(8)? };
            let deadline = Time(from.int(6)?);
            bell.notices.push((worker, Lease { job, attempt, token, deadline }));
        }
        Ok(bell)
    }
}
